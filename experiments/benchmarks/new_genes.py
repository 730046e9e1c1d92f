"""Genes that a model has never seen: what their vectors are best made of, on real tissue.

  python -m experiments.benchmarks.new_genes --checkpoint=WORKDIR --input=FOLDER --metadata=TABLE \
    --sections=A1,D1,E1,F1 --label=pathologist --gene_sets=SETS.gmt

WORKDIR is of a model whose panel lacks genes that the sections measure. Each way to make vectors is
given the same genes, and asked: do domains of the expression follow the labels (adjusted Rand
index, k-means with as many domains as labels, mean over sections); is a spot's profile among the
five nearest to its patch (R@5 in its section); and how well are the new genes read off the H&E and
off the expression of the known genes (Pearson's r, mean over genes), with vectors made from the
other sections alone.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import anndata
import numpy as np
import pandas as pd
from jaxtyping import Float
from sklearn.metrics import adjusted_rand_score

from data_pipelines import entry, readers
from data_pipelines.alignment import align
from data_pipelines.console import say
from data_pipelines.gene_sets import read_collections
from data_pipelines.genes import GenePanel
from data_pipelines.preparation.statistics import log_expression
from data_pipelines.section import Section, StreamedSection, of_section
from hibio import features, pretrained
from hibio.evaluation.clusterers import kmeans
from hibio.export import results
from hibio.export.new_genes import by_coexpression, made_known
from hibio.export.reader import Reader
from hibio.export.section import write_section
from hibio.parameters import with_new_genes

FLAGS = entry.Flags(__doc__)
_CHECKPOINT = FLAGS.string("checkpoint", None, "Work directory", required=True)
_INPUT = FLAGS.string("input", None, "Folder of sections", required=True)
_METADATA = FLAGS.string("metadata", None, "Table of the sections")
_SECTIONS = FLAGS.list("sections", None, "Which of them", required=True)
_LABEL = FLAGS.string("label", None, "Label that domains are compared with", required=True)
_GENE_SETS = FLAGS.multi_string("gene_sets", None, "GMT files", required=True)

_SEEDS, _K = 5, 5
MEASURES = ("ARI of domains", "R@5", "r from H&E", "r from known genes")

Images = Mapping[str, Float[np.ndarray, "spot width"]]
"""Section -> embeddings of its patches."""


def main() -> None:
  checkpoint = pretrained.load(_CHECKPOINT.value)
  reader = Reader.of(checkpoint)
  if checkpoint.features is not None:
    reader = dataclasses.replace(reader, encoder=features.encoder_of(checkpoint.features))
  sources = readers.open_sections(_INPUT.value, _METADATA.value)
  sections = [one.read() for one in sources if one.section_id in _SECTIONS.value]
  images = {
    one.section_id: _embedded(reader, of_section(one), results.IMAGE)
    for one in sections
    if one.image is not None
  }
  print("| vectors | " + " | ".join(MEASURES) + " |\n" + "| --- " * (len(MEASURES) + 1) + "|")
  for name, vectors in ways(read_collections(_GENE_SETS.value)).items():
    say(f"new genes: {name}")
    found = (
      *_of_embeddings(reader, sections, images, vectors, _LABEL.value),
      *_of_new_genes(reader, sections, images, vectors),
    )
    print(f"| {name} | " + " | ".join(f"{value:.3f}" for value in found) + " |", flush=True)


def ways(sets: Mapping[str, tuple[str, ...]]) -> dict[str, Callable | None]:
  """What the vectors of new genes are made of."""
  return {
    "left out": None,
    "zero": lambda params, seen, panel: _with_rows(params, lambda table: 0 * table[:1], len(panel)),
    "mean of their gene sets": functools.partial(by_gene_sets, sets),
    "co-expression": by_coexpression,
  }


def by_gene_sets(
  sets: Mapping[str, tuple[str, ...]], params: Any, seen: Any, panel: GenePanel
) -> Any:
  """A mean of the known genes of all sets that hold the new one, each set weighing alike."""
  del seen
  old = len(params["gene_bias"])
  weights = np.zeros((len(panel), old), np.float32)
  for genes in sets.values():
    rows = np.array(sorted(set(panel.rows(genes).values())), int)
    known = rows[rows < old]
    if len(known):
      weights[np.ix_(rows, known)] += 1 / len(known)
  weights = weights[old:] / np.maximum(weights[old:].sum(axis=1, keepdims=True), 1e-9)
  return _with_rows(params, lambda table: weights @ table, len(panel))


def _with_rows(params: Any, rows_of: Callable[[np.ndarray], np.ndarray], genes: int) -> Any:
  """Parameters for that many genes; the rows of the new ones are made of the table."""
  table = np.asarray(params["gene_table"]["embedding"])
  new = genes - len(table)
  longer = with_new_genes(params, np.zeros((new, 1), int), np.zeros((new, 1)))
  rows = np.broadcast_to(rows_of(table), (new, table.shape[1])).astype(table.dtype)
  return {**longer, "gene_table": {"embedding": np.concatenate([table, rows])}}


def _embedded(reader: Reader, section: StreamedSection, of: str) -> Float[np.ndarray, "spot width"]:
  """Embeddings of one modality of a section; the other is not looked at."""
  alone = {"read_counts": None} if of == results.IMAGE else {"image": None}
  shell = anndata.AnnData(obs=pd.DataFrame(index=pd.RangeIndex(section.num_spots).astype(str)))
  found = results.InMemory(shell)
  for name in (results.FUSED, of):
    found.add(name, reader.model.config.embedding_width)
  found.add(results.PATHWAYS, len(reader.tables.names))
  write_section(reader, dataclasses.replace(section, **alone), found, (), None, lambda *_: None)
  found.finish({}, {})
  return shell.obsm[of]


def _of_embeddings(
  reader: Reader, sections: Sequence[Section], images: Images, vectors: Callable | None, label: str
) -> tuple[float, float]:
  """(agreement of domains with a label, R@5), each the mean over sections that have it."""
  aris, recalls = [], []
  for one in sections:
    section = of_section(one)
    known = reader if vectors is None else made_known(reader, [section], vectors)
    genes = _embedded(known, section, results.GENE)
    names = np.asarray(one.labels.get(label, np.full(one.num_spots, ""))).astype(str)
    labelled = names != ""
    if len(set(names[labelled])) > 1:
      k = len(set(names[labelled]))
      runs = [kmeans(genes, one.positions_um, k, seed)[0][labelled] for seed in range(_SEEDS)]
      aris.append(np.mean([adjusted_rand_score(names[labelled], run) for run in runs]))
    if one.section_id in images:
      similarity = images[one.section_id] @ genes.T
      own = np.diag(similarity)[:, None]
      recalls.append(((similarity > own).sum(axis=1) < _K).mean())
  return float(np.mean(aris)), float(np.mean(recalls))


def _of_new_genes(
  reader: Reader, sections: Sequence[Section], images: Images, vectors: Callable | None
) -> tuple[float, float]:
  """r of the new genes, read from (H&E, known genes), by vectors made from the other sections."""
  if vectors is None:
    return float("nan"), float("nan")
  found: dict[str, list[float]] = {results.IMAGE: [], results.GENE: []}
  for one in sections:
    others = [of_section(other) for other in sections if other is not one]
    known = made_known(reader, others, vectors)
    counts, measured, _ = align(one, known.panel)
    new = np.flatnonzero(measured)
    new = new[new >= len(reader.panel)]
    logs = log_expression(counts)[:, new].toarray()
    read = {results.GENE: _embedded(reader, of_section(one), results.GENE)}
    if one.section_id in images:
      read[results.IMAGE] = images[one.section_id]
    for name, embedding in read.items():
      part = {results.IMAGE: "readout_image", results.GENE: "readout_gene"}[name]
      query = embedding @ np.asarray(reader.params[part]["kernel"])
      query = query + np.asarray(reader.params[part]["bias"])
      table = np.asarray(known.params["gene_table"]["embedding"])[new]
      found[name].append(_mean_r(query @ table.T, logs))
  return float(np.mean(found[results.IMAGE])), float(np.mean(found[results.GENE]))


def _mean_r(told: Float[np.ndarray, "spot gene"], logs: Float[np.ndarray, "spot gene"]) -> float:
  """Mean Pearson correlation over genes; 0 of a gene that is told the same everywhere."""
  told, logs = (values - values.mean(axis=0) for values in (told, logs))
  spread = np.sqrt((told**2).sum(axis=0) * (logs**2).sum(axis=0))
  return float(((told * logs).sum(axis=0) / np.maximum(spread, 1e-9)).mean())


if __name__ == "__main__":
  entry.run(main, FLAGS)
