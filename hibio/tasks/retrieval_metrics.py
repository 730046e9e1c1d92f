"""Recall and rank metrics of retrieval, each beside its exact value for a random order."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int
from scipy.special import digamma, gammaln

RECALLS = (1, 5, 10, 50)
SHARES = (0.01, 0.05, 0.10)


@dataclasses.dataclass(frozen=True)
class Score:
  """A metric's value for each query, and for a random order; the task tells their means."""

  metric: str
  values: Float[np.ndarray, " query"]
  chance: Float[np.ndarray, " query"]


def chance_of_hit(
  size: Int[np.ndarray, " query"],
  num_right: Int[np.ndarray, " query"],
  k: Int[np.ndarray, " query"],
) -> Float[np.ndarray, " query"]:
  """Probability that a random order of `size` items has a right one among its first `k`.

  1 - C(size - num_right, k) / C(size, k).
  """
  wrong = size - num_right
  k = np.minimum(k, size)
  possible = k <= wrong
  fitted = np.where(possible, k, 0)
  log_miss = (
    gammaln(wrong + 1.0)
    - gammaln(wrong - fitted + 1.0)
    - gammaln(size + 1.0)
    + gammaln(size - fitted + 1.0)
  )
  return np.where(possible, -np.expm1(log_miss), 1.0)


def recalls(
  rank: Float[np.ndarray, " query"],
  size: Int[np.ndarray, " query"],
  num_right: Int[np.ndarray, " query"],
  prefix: str = "recall",
) -> Iterator[Score]:
  """Whether a right answer is among the first 1, 5, 10 and 50."""
  for k in RECALLS:
    chance = chance_of_hit(size, num_right, np.full(len(size), k))
    yield Score(f"{prefix}@{k}", (rank <= k).astype(float), chance)


def share_recalls(
  rank: Float[np.ndarray, " query"],
  size: Int[np.ndarray, " query"],
  num_right: Int[np.ndarray, " query"],
  prefix: str = "recall",
) -> Iterator[Score]:
  """Whether a right answer is in the first 1, 5 and 10 per cent of the gallery, rounded up."""
  for share in SHARES:
    k = np.ceil(share * size).astype(np.int64)
    yield Score(
      f"{prefix}@{share:.0%}", (rank <= k).astype(float), chance_of_hit(size, num_right, k)
    )


def reciprocal_ranks(rank: Float[np.ndarray, " query"], size: Int[np.ndarray, " query"]) -> Score:
  """1 / rank of the one right answer; a random order gives H(size) / size."""
  harmonic = digamma(size + 1.0) + np.euler_gamma
  return Score("mrr", 1.0 / rank, harmonic / size)


def median_rank(
  rank: Float[np.ndarray, " query"], size: Int[np.ndarray, " query"]
) -> tuple[float, float]:
  """(median rank of the one right answer, median for random orders of these galleries).

  With galleries of N_1, N_2, ... items a random rank is at most r with the mean probability
  min(r / N_i, 1); chance is where that crosses one half, midway between the ranks around it.
  """
  sizes, weights = np.unique(size, return_counts=True)
  r = np.arange(1, sizes.max() + 1)[:, None]
  cumulative = (np.minimum(r / sizes, 1.0) * weights).sum(axis=1) / weights.sum()
  low = int(np.searchsorted(cumulative, 0.5 - 1e-12)) + 1
  high = int(np.searchsorted(cumulative, 0.5 + 1e-12)) + 1
  return float(np.median(rank)), (low + high) / 2


def median_rank_share(
  rank: Float[np.ndarray, " query"], size: Int[np.ndarray, " query"]
) -> tuple[float, float]:
  """(median of rank / gallery size, the same for random orders: half and half an item)."""
  return float(np.median(rank / size)), float(np.median((size + 1) / (2 * size)))
