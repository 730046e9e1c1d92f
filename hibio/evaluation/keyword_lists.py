"""Which genes does a keyword score pick? Measured where the planted answer is known."""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from data_pipelines.genes import GenePanel
from data_pipelines.loading.corpus import Corpus
from data_pipelines.problems import BadInputError
from data_pipelines.text_files import read_text
from hibio.evaluation.baselines import planted
from hibio.evaluation.rows import Row


def purity(
  scores: Float[np.ndarray, "spot gene"], planted: Bool[np.ndarray, "spot gene"], num_keywords: int
) -> Float[np.ndarray, " spot"]:
  """Share of each spot's top genes that are planted there; genes that score 0 are not picked."""
  top = np.argsort(-scores, axis=1, kind="stable")[:, :num_keywords]
  picked = np.take_along_axis(scores, top, 1) > 0
  hits = np.take_along_axis(planted, top, 1) & picked
  return hits.sum(1) / num_keywords


def planted_purity(
  method: str,
  scores: Float[np.ndarray, "spot gene"],
  expressed: Bool[np.ndarray, "spot gene"],
  planted: Bool[np.ndarray, "spot gene"],
  housekeeping: Bool[np.ndarray, " gene"],
  num_keywords: int,
  dataset: str,
  split: str,
) -> Iterator[Row]:
  """Purity and housekeeping share of a score, beside chance: even among the genes expressed."""
  shares = {
    "purity": planted,
    "housekeeping_share": np.broadcast_to(housekeeping, planted.shape),
  }
  for metric, wanted in shares.items():
    chance = float(((wanted & expressed).sum(1) / np.maximum(expressed.sum(1), 1)).mean())
    value = float(purity(scores, wanted, num_keywords).mean())
    protocol = f"top {num_keywords} of each spot"
    yield Row("keywords", dataset, protocol, split, metric, method, value, len(scores), chance)


def picked_share(
  gene: Int[np.ndarray, "spot keyword"], mask: Bool[np.ndarray, "spot keyword"], num_genes: int
) -> Float[np.ndarray, " gene"]:
  """Share of spots that have each gene among their keywords."""
  return np.bincount(gene[mask], minlength=num_genes) / max(len(gene), 1)


def held_weight(
  gene: Int[np.ndarray, "spot keyword"], weight: Float[np.ndarray, "spot keyword"], num_genes: int
) -> Float[np.ndarray, " gene"]:
  """Keyword weight that each gene holds, over all spots; sums to 1 where there is any."""
  held = np.bincount(gene.ravel(), weight.ravel().astype(np.float64), minlength=num_genes)
  return held / max(held.sum(), 1e-12)


def best(score: Float[np.ndarray, " gene"], num_genes: int) -> Int[np.ndarray, " chosen"]:
  """The `num_genes` genes of highest score, best first; none whose score is 0 or undefined."""
  score = np.nan_to_num(score, nan=0.0)
  order = np.argsort(-score, kind="stable")[:num_genes]
  return order[score[order] > 0]


def jaccard(one: Sequence[int] | np.ndarray, other: Sequence[int] | np.ndarray) -> float:
  """Genes in both lists over genes in either; 0 for two empty lists."""
  one, other = set(map(int, one)), set(map(int, other))
  return len(one & other) / max(len(one | other), 1)


def stability(
  lists: Mapping[str, np.ndarray], donor_of: Mapping[str, str]
) -> tuple[list[float], list[float]]:
  """Jaccard index of the lists of every two sections: of one donor, and of different donors.

  Args:
    lists: section -> its list.
    donor_of: section -> donor.
  """
  same, other = [], []
  for one, two in itertools.combinations(lists, 2):
    pairs = same if donor_of[one] == donor_of[two] else other
    pairs.append(jaccard(lists[one], lists[two]))
  return same, other


PATTERN = re.compile(r"^(RP[LS]\d|MT-|mt-|Rp[ls]\d)")
"""Ribosomal proteins and mitochondrial genes of human and mouse."""

_COLUMNS = ("gene name", "symbol", "gene", "gene symbol")


@dataclasses.dataclass(frozen=True)
class Housekeeping:
  """Which panel genes are housekeeping, and who says so."""

  genes: Bool[np.ndarray, " gene"]
  source: str


def of_file(path: str | os.PathLike, panel: GenePanel) -> Housekeeping:
  """A list of one gene a line, or a table with a column of gene names.

  Raises:
    BadInputError: none of its genes is on the panel.
  """
  lines = [re.split(r"[;,\t]", line.strip()) for line in read_text(Path(path)).split("\n")]
  lines = [cells for cells in lines if cells[0]]
  header = [cell.strip().casefold() for cell in lines[0]] if lines else []
  column = next((header.index(name) for name in _COLUMNS if name in header), 0)
  names = tuple(cells[column].strip() for cells in lines if len(cells) > column)
  found = _mask(panel, names)
  if not found.any():
    raise BadInputError(
      path,
      "genes",
      f"none of {len(names):,} on the panel (they look like {', '.join(names[1:4]) or 'nothing'})",
      f"names like {', '.join(panel.symbols[:3])}",
      "give a list of the same species and kind of name",
    )
  return Housekeeping(found, f"{found.sum()} of the {len(names):,} genes of {Path(path).name}")


def of_corpus(corpus: Corpus) -> Housekeeping:
  """Without a list: the genes planted as housekeeping in synthetic tissue, else names alone."""
  if truth := planted.truth_of(corpus.path):
    found = planted.housekeeping_genes(truth, corpus.panel)
    return Housekeeping(found, f"{found.sum()} genes planted as housekeeping")
  found = np.array([bool(PATTERN.match(name)) for name in corpus.panel.symbols])
  return Housekeeping(
    found,
    f"{found.sum()} genes with names of ribosomal proteins or mitochondrial genes, as no list was"
    " given",
  )


def _mask(panel: GenePanel, names: tuple[str, ...]) -> Bool[np.ndarray, " gene"]:
  mask = np.zeros(len(panel), bool)
  mask[list(panel.rows(names).values())] = True
  return mask
