"""What "expression" means when it is predicted: the scale of the numbers, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float

from hibio.evaluation.cohort import Cohort


def log1p_raw(counts: scipy.sparse.csr_matrix) -> scipy.sparse.csr_matrix:
  """log1p of raw counts, as HEST-Bench predicts: sequencing depth is part of the answer.

  References:
    Jaume et al. 2024, HEST-1k (arXiv:2406.16192).
  """
  return counts.astype(np.float32).log1p()


def log1p_cp10k(counts: scipy.sparse.csr_matrix) -> scipy.sparse.csr_matrix:
  """log1p of counts per 10,000 of the spot: depth is divided out. An empty spot stays empty."""
  totals = np.maximum(np.asarray(counts.sum(axis=1), np.float32).ravel(), 1.0)
  scaled = counts.astype(np.float32)
  scaled.data *= np.repeat(1e4 / totals, np.diff(scaled.indptr))
  return scaled.log1p()


TARGETS: dict[str, Callable[[scipy.sparse.csr_matrix], scipy.sparse.csr_matrix]] = {
  "log1p_raw": log1p_raw,
  "log1p_cp10k": log1p_cp10k,
}
"""Name -> raw counts of whole spots to what is predicted; zeros stay zeros."""


SHORT = 50
LONG = 1000


def measured_everywhere(cohorts: Sequence[Cohort]) -> Bool[np.ndarray, " gene"]:
  """Panel genes that every section of the cohorts measures. Says nothing of their values."""
  return np.all(
    [cohort.measured[name] for cohort in cohorts for name, _ in cohort.sections()], axis=0
  )


def variance_within_sections(fit: Cohort) -> Float[np.ndarray, " gene"]:
  """Variance of log1p(CP10k) inside each section, averaged over sections.

  A difference between sections or donors is no reason to be picked.
  """
  values = log1p_cp10k(fit.counts)
  return np.mean([_variance(values[rows]) for _, rows in fit.sections()], axis=0)


def mean_expression(fit: Cohort) -> Float[np.ndarray, " gene"]:
  """Mean of log1p(CP10k) of each section, averaged over sections."""
  values = log1p_cp10k(fit.counts)
  return np.mean([_mean(values[rows]) for _, rows in fit.sections()], axis=0)


GENE_LISTS: dict[str, tuple[Callable[[Cohort], Float[np.ndarray, " gene"]], int]] = {
  "hvg50": (variance_within_sections, SHORT),
  "heg50": (mean_expression, SHORT),
  "all": (variance_within_sections, LONG),
}
"""Name -> (what ranks the genes, how many at most): most variable, most expressed, and the panel
as far as it varies."""


def choose(fit: Cohort, eligible: Bool[np.ndarray, " gene"]) -> dict[str, np.ndarray]:
  """Panel rows of every list, best first. Only eligible genes that rank above 0 are taken.

  Args:
    fit: the spots that a probe is fitted on; their counts alone decide.
    eligible: as `measured_everywhere` gives it.
  """
  ranks = {rank: rank(fit) for rank in dict.fromkeys(rank for rank, _ in GENE_LISTS.values())}
  lists = {}
  for name, (rank, most) in GENE_LISTS.items():
    value = np.where(eligible, ranks[rank], 0.0)
    order = np.argsort(-value, kind="stable")[:most]
    lists[name] = order[value[order] > 0]
  return lists


def _mean(values: scipy.sparse.csr_matrix) -> Float[np.ndarray, " gene"]:
  return np.asarray(values.sum(axis=0, dtype=np.float64)).ravel() / values.shape[0]


def _variance(values: scipy.sparse.csr_matrix) -> Float[np.ndarray, " gene"]:
  squares = np.asarray(values.power(2).sum(axis=0, dtype=np.float64)).ravel()
  # A gene of one value only must not come out a rounding error above 0.
  variance = squares / values.shape[0] - _mean(values) ** 2
  return np.where(variance > 1e-9 * squares / values.shape[0], variance, 0.0)
