"""The best expression prediction known for a checkpoint, fitted when its training ends.

Reduced-rank regression and retrieval on what a frozen encoder says of the image, or on the model's
embedding, by training sections alone. How far each gene can be trusted is measured on sections that
the fit has not seen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse
from jaxtyping import Float

from data_pipelines.loading import loader
from data_pipelines.loading.corpus import Corpus
from hibio.batch import Batch, Tables
from hibio.evaluation.expression_probes import about_section
from hibio.evaluation.folds import inner_folds
from hibio.evaluation.gene_lists import SHORT, log1p_cp10k
from hibio.evaluation.reduced_rank import Choice, Search, Truth, regression
from hibio.evaluation.rows import mean_defined
from hibio.forward import Forward
from hibio.readout import Readout, joined

GENES = 200
"""Most variable genes, on which penalty, rank and retrieval are chosen."""

_MOST_SPOTS = 8000
"""Evenly taken from larger corpora: their expression is held as one dense table."""

_WINDOWS_PER_BATCH = 4


@dataclasses.dataclass(frozen=True)
class Pairs:
  """Spots with an image and counts, of training and validation sections.

  Attributes:
    blocks: what each of them is read from: "features", where the corpus has them, and "embedding".
    counts: over the panel.
    measured: which genes the section of each spot measures.
    rows: of the corpus' table of spots, with their section, donor and split.
  """

  blocks: Mapping[str, Float[np.ndarray, "spot width"]]
  counts: scipy.sparse.csr_matrix
  measured: np.ndarray
  rows: Any

  def of(self, split: str) -> np.ndarray:
    return np.flatnonzero(self.rows["split"] == split)


def fitted(
  corpus: Corpus, forward: Forward, params: Any, tables: Tables, step: int
) -> Readout | None:
  """The readout of a model on its corpus; None where no two training spots have both modalities.

  Of frozen features the inner folds can judge, for no spot has shaped them. An embedding has seen
  the training sections: whether it is read beside features is left to validation donors, and
  without these it is read only where there are no features.
  """
  pairs = _gathered(corpus, forward, params, tables)
  if pairs is None or len(pairs.of("train")) < 2:
    return None
  choices = [("features",) if "features" in pairs.blocks else ("embedding",)]
  if len(pairs.blocks) == 2 and len(pairs.of("validation")) > 1:
    choices.append(("features", "embedding"))
  found = [_of_blocks(pairs, reads, step) for reads in choices]
  best = max(found, key=lambda one: one.about["validation_r"] or 0.0)
  about = {**best.about, "encoder": corpus.features and corpus.features.about["hash"]}
  return dataclasses.replace(best, about=about)


def in_words(readout: Readout) -> str:
  """What was fitted and how well it does, in a line."""
  about = readout.about
  return (
    f"expression readout of {' and '.join(readout.reads)}: {about['choice']}; r {about['r']:.2f} "
    f"({SHORT} most variable genes) in {about['reliability_from']}"
  )


def _of_blocks(pairs: Pairs, reads: tuple[str, ...], step: int) -> Readout:
  train, validation = pairs.of("train"), pairs.of("validation")
  sections = pairs.rows["section_id"].to_numpy(str)
  x = _features(pairs.blocks, sections, reads)
  log = log1p_cp10k(pairs.counts).toarray()
  y = np.where(pairs.measured, about_section(log, sections), np.float32(0.0))
  folds, words = inner_folds(pairs.rows.iloc[train])
  inner = Search.of(x[train], sections[train], folds)
  variable = np.argsort(-y[train].var(axis=0), kind="stable")[:GENES]
  on_validation = None
  if len(validation) > 1:
    used = np.concatenate([train, validation])
    left = np.arange(len(train), len(used))
    on_validation = Search.of(x[used], sections[used], [left])
    y_used = y[used]
  seen_before = "embedding" in reads
  judge, judged = (inner, y[train])
  if seen_before and on_validation is not None:
    judge, judged = on_validation, y_used
  choice = judge.choose(judged[:, variable])
  whole = regression(x[train], y[train], choice)
  r = np.concatenate(list(judge.correlations(judged, choice))) if judge.splits else y[:0] * np.nan
  mean, spread = _over_sections(r)
  return Readout(
    whole=whole,
    folds=_parts(inner, y[train], choice, whole.components),
    mean=_mean_expression(log[train], pairs.measured[train], sections[train]),
    reliability=mean,
    reliability_sd=spread,
    ceiling=ceiling(pairs.counts[train], pairs.measured[train], sections[train]),
    reads=reads,
    about={
      "step": step,
      "choice": str(choice),
      "chosen_over": words if judge is inner else "validation sections",
      "spots": len(train),
      "sections": len(set(sections[train])),
      "r": float(mean_defined(mean[variable[:SHORT]])),
      "reliability_from": _reliability_from(judge is inner, seen_before),
      "validation_r": on_validation and on_validation.score(y_used[:, variable], choice),
    },
  )


def _reliability_from(inner: bool, seen_before: bool) -> str:
  if not inner:
    return "validation sections"
  seen = ", which the encoder was trained on" if seen_before else ""
  return f"training sections left out of the fit{seen}"


def _parts(inner: Search, y: np.ndarray, choice: Choice, components: np.ndarray) -> tuple:
  """The same fit without the rows of each fold."""
  basis = components if choice.with_nearest else None
  return tuple(
    regression(inner.x[rest], y[rest], choice, basis, axes) for _, rest, axes in inner.splits
  )


def ceiling(
  counts: scipy.sparse.csr_matrix, measured: np.ndarray, sections: np.ndarray
) -> Float[np.ndarray, " gene"]:
  """The correlation with the measured values that a prediction without error would reach.

  Every molecule falls into one of two halves; the correlation of the halves within sections, their
  mean over sections, is stepped up to the full depth by Spearman-Brown, 2r / (1 + r); the root of
  that is the ceiling. 0 where the halves do not agree.
  """
  first = counts.copy().astype(np.int64)
  first.data = np.random.default_rng(0).binomial(first.data, 0.5)
  halves = [
    np.where(measured, log1p_cp10k(half.tocsr()).toarray(), 0.0) for half in (first, counts - first)
  ]
  r = np.clip(_over_sections(Truth.of(halves[0], sections).correlation(halves[1]))[0], 0.0, 1.0)
  return np.sqrt(2 * r / (1 + r)).astype(np.float32)


def _over_sections(
  correlation: Float[np.ndarray, "section gene"],
) -> tuple[Float[np.ndarray, " gene"], Float[np.ndarray, " gene"]]:
  """Mean and standard deviation over the sections in which a gene varies; else not-a-number."""
  mean = mean_defined(correlation, axis=0)
  return mean.astype(np.float32), np.sqrt(mean_defined((correlation - mean) ** 2, axis=0)).astype(
    np.float32
  )


def _mean_expression(
  log: np.ndarray, measured: np.ndarray, sections: np.ndarray
) -> Float[np.ndarray, " gene"]:
  """Mean over the sections that measure a gene; not-a-number where none does."""
  names = dict.fromkeys(sections.tolist())
  means = [
    np.where(measured[sections == name].any(axis=0), log[sections == name].mean(axis=0), np.nan)
    for name in names
  ]
  return mean_defined(np.stack(means), axis=0).astype(np.float32)


def _features(
  blocks: Mapping[str, np.ndarray], sections: np.ndarray, reads: tuple[str, ...]
) -> Float[np.ndarray, "spot width"]:
  width = sum(blocks[name].shape[1] for name in reads)
  x = np.zeros((len(sections), width), np.float32)
  for name in dict.fromkeys(sections.tolist()):
    rows = sections == name
    x[rows] = joined({block: values[rows] for block, values in blocks.items()}, reads)
  return x


def _gathered(corpus: Corpus, forward: Forward, params: Any, tables: Tables) -> Pairs | None:
  """All pairs of the training and validation sections, in the order of the corpus."""
  embeds = corpus.features is None or bool(corpus.manifest["splits"]["validation"])
  index, embeddings, counts = [], [], []
  for arrays in loader.windows_once(
    corpus, ("train", "validation"), windows_per_batch=_WINDOWS_PER_BATCH
  ):
    batch = Batch(**arrays)
    both = batch.spot_mask & batch.has_patch & batch.has_counts
    if both.any():
      index.append(batch.spot_index[both])
      counts.append(scipy.sparse.csr_matrix(batch.counts[both]))
      if embeds:
        embeddings.append(np.asarray(forward(params, batch, tables).image)[both])
  if not index:
    return None
  index = np.concatenate(index)
  order = np.argsort(index, kind="stable")
  order = order[np.unique(np.linspace(0, len(order) - 1, min(len(order), _MOST_SPOTS)).astype(int))]
  index = index[order]
  blocks = {"embedding": np.concatenate(embeddings)[order]} if embeds else {}
  if corpus.features is not None:
    blocks["features"] = corpus.feature_input[index]
  sections = {s["section_id"]: (row, s) for row, s in enumerate(corpus.manifest["sections"])}
  spots = corpus.spots.iloc[index][["section_id"]].reset_index(drop=True)
  of = [sections[name] for name in spots["section_id"]]
  return Pairs(
    blocks=blocks,
    counts=scipy.sparse.vstack(counts).tocsr()[order],
    measured=np.asarray(corpus.statistics["measured"])[[row for row, _ in of]],
    rows=spots.assign(**{name: [s[name] for _, s in of] for name in ("donor_id", "split")}),
  )
