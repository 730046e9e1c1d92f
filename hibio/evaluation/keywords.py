"""Which genes each keyword score picks, beside the most variable and the most spatial genes.

The same number of genes for all: K of the model. A section's list is made of the genes that are
most often among the top K of its spots; the most variable and the most spatially variable genes are
lists of a section to begin with.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from data_pipelines.preparation.spatial_genes import expected_morans_i, morans_i
from data_pipelines.preparation.spot_graph import spot_graph
from hibio import configs, keywords
from hibio.batch import SectionStatistics
from hibio.evaluation import keyword_lists
from hibio.evaluation.cohort import Cohort
from hibio.evaluation.gene_lists import variance_within_sections
from hibio.evaluation.rows import Row
from hibio.evaluation.subject import Subject
from hibio.expression import fraction

HVG, SVG = "most variable (HVG)", "most spatial (Moran's I)"
DRAWS = 200
"""Random lists of K genes, for the overlap that chance gives."""

_BLOCK = 512
"""Spots, or genes, that are held as a dense table at a time."""


@dataclasses.dataclass(frozen=True)
class SectionLists:
  """What every method picks in one section.

  Attributes:
    lists: method -> panel rows, best first.
    shares: score -> share of spots that have each gene among their top K.
    weights: score -> share of all keyword weight that each gene holds: what the model reads.
    single: method -> share of what it picks in spots that rests on one molecule.
    morans_i: of the log expression of each panel gene; not-a-number where it is constant.
    shuffled: method -> mean Moran's I of its list after the spots have changed places.
    eligible: genes that enough spots express to be told from noise.
    num_spots: of the section.
    single_of_all: share of all counts above 0 that are 1.
  """

  lists: dict[str, np.ndarray]
  shares: dict[str, Float[np.ndarray, " gene"]]
  weights: dict[str, Float[np.ndarray, " gene"]]
  single: dict[str, float]
  morans_i: Float[np.ndarray, " gene"]
  shuffled: dict[str, float]
  eligible: Bool[np.ndarray, " gene"]
  num_spots: int
  single_of_all: float


def asked(own: configs.KeywordConfig) -> dict[str, configs.KeywordConfig]:
  """Every score as textbooks have it, then the one that the model reads its keywords by."""
  plain = {
    score: dataclasses.replace(own, score=score, spatial_power=0.0) for score in keywords.SCORES
  }
  return {**plain, keywords.called(own.score, own.spatial_power): own}


def measure(subject: Subject, section: str) -> SectionLists:
  """The lists of one section."""
  cohort = subject.counted.subset((subject.counted.spots["section_id"] == section).to_numpy())
  config = subject.model.model.config.keywords
  expressed = np.asarray((cohort.counts > 0).sum(0)).ravel()
  fewest = max(config.min_documents, config.min_document_share * len(cohort.spots))
  eligible = (expressed >= fewest) & cohort.measured[section]
  graph = spot_graph(cohort.spots[["x_um", "y_um"]].to_numpy(np.float64))[0]
  spatial = _morans_i(cohort, np.arange(len(eligible)), graph)
  lists, shares, weights, single = {}, {}, {}, {}
  for score, by in asked(config).items():
    gene, weight, mask, ones = _picked(subject, cohort, section, by)
    shares[score] = keyword_lists.picked_share(gene, mask, len(eligible))
    weights[score] = keyword_lists.held_weight(gene, weight, len(eligible))
    lists[score] = keyword_lists.best(shares[score], config.num_keywords)
    single[score] = ones
  for name, rank in ((HVG, variance_within_sections(cohort)), (SVG, spatial)):
    lists[name] = keyword_lists.best(np.where(eligible, rank, 0.0), config.num_keywords)
    single[name] = _ones(cohort.counts[:, lists[name]].data)
  order = np.random.default_rng(0).permutation(len(cohort.spots))
  moved = {m: _mean(_morans_i(cohort, genes, graph, order)) for m, genes in lists.items()}
  return SectionLists(
    lists=lists,
    shares=shares,
    weights=weights,
    single=single,
    morans_i=spatial,
    shuffled=moved,
    eligible=eligible,
    num_spots=len(cohort.spots),
    single_of_all=_ones(cohort.counts.data),
  )


def rows(subject: Subject, found: dict[str, SectionLists]) -> Iterator[Row]:
  """What the lists are made of, how stable they are, and how much they overlap."""
  yield from _composition(subject, found)
  yield from _stability(subject, found)
  yield from _overlap(subject, found)


def _composition(subject: Subject, found: dict[str, SectionLists]) -> Iterator[Row]:
  housekeeping, sections = subject.housekeeping.genes, list(found.values())
  spatial = [_mean(one.morans_i[one.eligible]) for one in sections]
  expected = np.mean([expected_morans_i(one.num_spots) for one in sections])
  chance = {
    "morans_i": _mean(np.array(spatial)),
    "morans_i_shuffled_spots": float(expected),
    "morans_i_by_weight": _mean(np.array(spatial)),
    "housekeeping_by_weight": _mean(np.array([housekeeping[o.eligible].mean() for o in sections])),
    "housekeeping_share": _mean(np.array([housekeeping[o.eligible].mean() for o in sections])),
    "single_count_share": _mean(np.array([one.single_of_all for one in sections])),
  }
  for method in sections[0].lists:
    values = {
      "morans_i": {s: _mean(one.morans_i[one.lists[method]]) for s, one in found.items()},
      "morans_i_by_weight": {
        s: float(one.weights[method] @ np.nan_to_num(one.morans_i))
        for s, one in found.items()
        if method in one.weights
      },
      "morans_i_shuffled_spots": {s: one.shuffled[method] for s, one in found.items()},
      "housekeeping_share": {
        s: _mean(housekeeping[one.lists[method]].astype(float)) for s, one in found.items()
      },
      "housekeeping_by_weight": {
        s: float(one.weights[method] @ housekeeping)
        for s, one in found.items()
        if method in one.weights
      },
      "single_count_share": {s: one.single[method] for s, one in found.items()},
    }
    for metric, parts in values.items():
      if not parts:
        continue  # a list of the section has no weights
      yield _row(subject, "what is picked", metric, method, parts, chance[metric])


def _stability(subject: Subject, found: dict[str, SectionLists]) -> Iterator[Row]:
  """Lists of sections of one donor should agree more than those of different donors."""
  chance = _random_jaccard(subject, found)
  for method in next(iter(found.values())).lists:
    lists = {section: one.lists[method] for section, one in found.items()}
    same, other = keyword_lists.stability(lists, subject.donor_of)
    for metric, values in (("jaccard_same_donor", same), ("jaccard_other_donor", other)):
      parts = {f"pair {number}": value for number, value in enumerate(values, 1)}
      yield _row(subject, "stability of lists", metric, method, parts, chance)


def _overlap(subject: Subject, found: dict[str, SectionLists]) -> Iterator[Row]:
  chance = _random_jaccard(subject, found)
  methods = list(next(iter(found.values())).lists)
  for method in methods:
    for other in methods:
      parts = {
        section: keyword_lists.jaccard(one.lists[method], one.lists[other])
        for section, one in found.items()
      }
      yield _row(subject, "overlap of lists (Jaccard)", other, method, parts, chance)


def _row(subject: Subject, what: str, metric: str, method: str, parts: dict, chance: float) -> Row:
  values = np.array([value for value in parts.values() if np.isfinite(value)])
  return Row(
    "keywords",
    subject.corpus.name,
    f"{what}, top {subject.model.model.config.keywords.num_keywords}",
    f"{len(subject.donor_of)} sections",
    metric,
    method,
    float(values.mean()) if len(values) else None,
    len(values),
    chance,
    note="" if len(values) else "no such pair of sections",
    spread=float(values.std()) if len(values) else None,
    parts=parts,
  )


def _random_jaccard(subject: Subject, found: dict[str, SectionLists]) -> float:
  """Mean overlap of two lists of K genes drawn from those that could be picked."""
  rng = np.random.default_rng(0)
  size = subject.model.model.config.keywords.num_keywords
  pools = [np.flatnonzero(one.eligible) for one in found.values()]
  draws = []
  for number in range(DRAWS):
    pool = pools[number % len(pools)]
    pair = [rng.permutation(pool)[:size] for _ in range(2)]
    draws.append(keyword_lists.jaccard(*pair))
  return float(np.mean(draws))


def _picked(
  subject: Subject, cohort: Cohort, section: str, config: configs.KeywordConfig
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
  """Keyword genes of each spot, their weights, which are real; the share of single molecules."""
  row = jnp.array([subject.row_of[section]], jnp.int32)
  parts, singles = [], []
  for start in range(0, len(cohort.spots), _BLOCK):
    counts = cohort.counts[start : start + _BLOCK].toarray().astype(np.int32)
    # Padded, so that sections of any size are one shape to compile.
    padded = np.zeros((1, _BLOCK, counts.shape[1]), np.int32)
    padded[0, : len(counts)] = counts
    found = _top(padded, subject.tables.statistics, row, config)
    gene, weight, mask = (np.asarray(part)[0, : len(counts)] for part in found)
    parts.append((gene, weight, mask))
    singles.append(np.take_along_axis(counts, gene, 1)[mask])
  picked = (np.concatenate(one) for one in zip(*parts, strict=True))
  return *picked, _ones(np.concatenate(singles))


@functools.partial(jax.jit, static_argnames="config")
def _top(counts, statistics: SectionStatistics, row, config: configs.KeywordConfig):
  """Gene, weight and mask of the keywords of one window."""
  measured = jnp.asarray(statistics.measured)[row]
  scores = keywords.keyword_scores(counts, statistics, row, config)
  share = fraction(counts, measured[:, None])
  found, _ = keywords.top_keywords(scores, share, measured, config.num_keywords)
  return found.gene, found.weight, found.mask


def _morans_i(
  cohort: Cohort, genes: np.ndarray, graph, order: np.ndarray | None = None
) -> Float[np.ndarray, " gene"]:
  """Moran's I of the log expression of some genes; `order` lets the spots change places."""
  found = [np.zeros(0)]
  for start in range(0, len(genes), _BLOCK):
    values = cohort.log_expression(genes[start : start + _BLOCK])
    found.append(morans_i(values if order is None else values[order], graph))
  return np.concatenate(found)


def _ones(counts: np.ndarray) -> float:
  return float((counts == 1).mean()) if len(counts) else float("nan")


def _mean(values: np.ndarray) -> float:
  """Mean of what is defined."""
  values = values[np.isfinite(values)]
  return float(values.mean()) if len(values) else float("nan")
