"""The genes that a method picks in a section, and what can be said of such a list.

A section's list holds the genes that are most often among the top K of its spots. The most variable
genes (HVG) and the most spatially variable ones (SVG) are lists of a section to begin with.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float, Int

from data_pipelines.preparation.spatial_genes import morans_i
from data_pipelines.preparation.spot_graph import spot_graph
from hibio import keywords
from hibio.batch import SectionStatistics
from hibio.configs import KeywordConfig
from hibio.evaluation.baselines import HVG, SVG
from hibio.evaluation.cohort import Cohort
from hibio.evaluation.gene_lists import variance_within_sections
from hibio.evaluation.rows import mean_defined
from hibio.expression import fraction

_BLOCK = 512
"""Spots, or genes, that are held as a dense table at a time."""


@dataclasses.dataclass(frozen=True)
class Picked:
  """What one method picks in one section.

  Attributes:
    genes: panel rows, best first.
    single: share of what it picks in spots that rests on a single molecule.
    shuffled: mean Moran's I of its genes after the spots have changed places.
    shares: share of spots that have each gene among their top K; None for a list of the section.
    weights: share of all keyword weight that each gene holds: what the gene encoder reads; None
      likewise.
  """

  genes: Int[np.ndarray, " chosen"]
  single: float
  shuffled: float
  shares: Float[np.ndarray, " gene"] | None = None
  weights: Float[np.ndarray, " gene"] | None = None


@dataclasses.dataclass(frozen=True)
class SectionLists:
  """What every method picks in one section, and from what.

  Attributes:
    of: method -> its picks.
    morans_i: of the log expression of each panel gene; not-a-number where it is constant.
    eligible: genes that enough spots express to be told from noise.
    num_spots: of the section.
    single: share of all counts above 0 that are 1.
  """

  of: Mapping[str, Picked]
  morans_i: Float[np.ndarray, " gene"]
  eligible: Bool[np.ndarray, " gene"]
  num_spots: int
  single: float


def of_section(
  cohort: Cohort,
  section: str,
  row: int,
  statistics: SectionStatistics,
  scores: Mapping[str, KeywordConfig],
  gates: KeywordConfig,
) -> SectionLists:
  """The lists of one section.

  Args:
    row: of the section in `statistics`.
    scores: method -> how it scores genes.
    gates: how many genes every method picks, and how often a gene must occur to be eligible.
  """
  cohort = cohort.subset((cohort.spots["section_id"] == section).to_numpy())
  expressed = np.asarray((cohort.counts > 0).sum(0)).ravel()
  fewest = max(gates.min_documents, gates.min_document_share * len(cohort.spots))
  eligible = (expressed >= fewest) & cohort.measured[section]
  graph = spot_graph(cohort.spots[["x_um", "y_um"]].to_numpy(np.float64))[0]
  spatial = _morans_i(cohort, np.arange(len(eligible)), graph)
  order = np.random.default_rng(0).permutation(len(cohort.spots))

  def picked(genes: np.ndarray, single: float, *of_spots: np.ndarray) -> Picked:
    moved = mean_defined(_morans_i(cohort, genes, graph, order))
    return Picked(genes, single, moved, *of_spots)

  found = {}
  for method, config in scores.items():
    gene, weight, mask, single = _keywords(cohort, statistics, row, config)
    shares = picked_share(gene, mask, len(eligible))
    weights = held_weight(gene, weight, len(eligible))
    found[method] = picked(best(shares, gates.num_keywords), single, shares, weights)
  for method, rank in ((HVG, variance_within_sections(cohort)), (SVG, spatial)):
    genes = best(np.where(eligible, rank, 0.0), gates.num_keywords)
    found[method] = picked(genes, _ones(cohort.counts[:, genes].data))
  return SectionLists(found, spatial, eligible, len(cohort.spots), _ones(cohort.counts.data))


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


def _keywords(
  cohort: Cohort, statistics: SectionStatistics, row: int, config: KeywordConfig
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
  """Keyword genes of each spot, their weights, which of them are real; the share of lone counts."""
  parts, picked_counts = [], []
  for start in range(0, len(cohort.spots), _BLOCK):
    counts = cohort.counts[start : start + _BLOCK].toarray().astype(np.int32)
    # Padded, so that sections of any size are one shape to compile.
    padded = np.zeros((1, _BLOCK, counts.shape[1]), np.int32)
    padded[0, : len(counts)] = counts
    found = _top(padded, statistics, jnp.array([row], jnp.int32), config)
    gene, weight, mask = (np.asarray(part)[0, : len(counts)] for part in found)
    parts.append((gene, weight, mask))
    picked_counts.append(np.take_along_axis(counts, gene, 1)[mask])
  gene, weight, mask = (np.concatenate(one) for one in zip(*parts, strict=True))
  return gene, weight, mask, _ones(np.concatenate(picked_counts))


@functools.partial(jax.jit, static_argnames="config")
def _top(counts, statistics: SectionStatistics, row, config: KeywordConfig):
  """Gene, weight and mask of the keywords of one window."""
  measured = jnp.asarray(statistics.measured)[row]
  scores = keywords.keyword_scores(counts, statistics, row, config)
  share = fraction(counts, measured[:, None])
  found, _ = keywords.top_keywords(scores, share, measured, config.num_keywords)
  return found.gene, found.weight, found.mask


def _morans_i(
  cohort: Cohort,
  genes: np.ndarray,
  graph: scipy.sparse.csr_matrix,
  order: np.ndarray | None = None,
) -> Float[np.ndarray, " gene"]:
  """Moran's I of the log expression of some genes; `order` lets the spots change places."""
  found = [np.zeros(0)]
  for start in range(0, len(genes), _BLOCK):
    values = cohort.log_expression(genes[start : start + _BLOCK])
    found.append(morans_i(values if order is None else values[order], graph))
  return np.concatenate(found)


def _ones(counts: np.ndarray) -> float:
  return float((counts == 1).mean()) if len(counts) else float("nan")
