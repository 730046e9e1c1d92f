"""Where the right answers stand among all candidates, in one blocked pass over the similarities.

Counts are kept by section, so that one pass serves every gallery that is made of whole sections.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import digamma, gammaln

from data_pipelines.console import Progress

_BLOCK_ENTRIES = 2**26
"""Similarities in memory at a time, 256 MiB: a product of few queries mostly copies the items."""

_PIECE_ENTRIES = 2**17
"""Of them, those that are looked at together: what is asked of them stays in a core's cache."""


@dataclasses.dataclass(frozen=True)
class Target:
  """What counts as a right answer.

  Attributes:
    hits: queries -> which items are right for each, `[query, item]`.
    items: which items are candidates in any gallery.
  """

  hits: Callable[[Int[np.ndarray, " query"]], Bool[np.ndarray, "query item"]]
  items: Bool[np.ndarray, " item"]


@dataclasses.dataclass(frozen=True)
class Standing:
  """How each query's best right answer stands among the candidates of each section.

  Attributes:
    better: candidates that are more similar to the query than it.
    level: candidates that are as similar as it, itself included.
    right: right answers among these; 0 where a query has none at all.
    num_right: right answers of the query.
  """

  better: Int[np.ndarray, "query section"]
  level: Int[np.ndarray, "query section"]
  right: Int[np.ndarray, " query"]
  num_right: Int[np.ndarray, " query"]

  def rank(self, gallery: Bool[np.ndarray, "query section"]) -> Float[np.ndarray, " query"]:
    """Rank (1 = first) of the best right answer; not-a-number where there is none.

    Candidates that are equally similar stand in random order: the rank is the expected one. For a
    single right answer that is the mean rank of the tie.

    Args:
      gallery: sections in which each query is answered; all of its right answers lie in them.
    """
    better = (self.better * gallery).sum(axis=1)
    level = (self.level * gallery).sum(axis=1)
    return np.where(self.right > 0, better + (level + 1) / (self.right + 1), np.nan)


def stand(
  queries: Float[np.ndarray, "row width"],
  items: Float[np.ndarray, "item width"],
  section_starts: Int[np.ndarray, " section"],
  targets: Mapping[str, Target],
  what: str = "ranking",
  asked: Int[np.ndarray, " query"] | None = None,
) -> tuple[dict[str, Standing], Float[np.ndarray, "query section"]]:
  """The standing of each target's right answers, and where each query's first item lies.

  Args:
    items: in the order of their sections.
    section_starts: first item of each section.
    asked: the rows of `queries` that are asked; by default all.

  Returns:
    The second array holds the share of the first items, which are several if they tie, by section.
  """
  asked = np.arange(len(queries)) if asked is None else asked
  num_queries, num_sections = len(asked), len(section_starts)
  counts = {
    name: Standing(
      np.zeros((num_queries, num_sections), np.int32),
      np.zeros((num_queries, num_sections), np.int32),
      np.zeros(num_queries, np.int32),
      np.zeros(num_queries, np.int32),
    )
    for name in targets
  }
  first = np.zeros((num_queries, num_sections), np.float32)

  def by_section(mask: Bool[np.ndarray, "row item"]) -> Int[np.ndarray, "row section"]:
    return np.add.reduceat(mask.view(np.uint8), section_starts, axis=1, dtype=np.int32)

  block, piece = (max(most // max(len(items), 1), 1) for most in (_BLOCK_ENTRIES, _PIECE_ENTRIES))
  progress = Progress(what, num_queries, "queries")
  for begin in range(0, num_queries, min(block, 1024)):
    numbers = np.arange(begin, min(begin + min(block, 1024), num_queries))
    similarities = queries[asked[numbers]] @ items.T
    for start in range(0, len(numbers), piece):
      rows, similarity = numbers[start : start + piece], similarities[start : start + piece]
      top = by_section(similarity == similarity.max(axis=1, keepdims=True))
      first[rows] = top / top.sum(axis=1, keepdims=True)
      for name, target in targets.items():
        into, hits = counts[name], target.hits(asked[rows])
        best = similarity.max(axis=1, keepdims=True, where=hits, initial=-np.inf)
        better, level = similarity > best, similarity == best
        into.right[rows] = (level & hits).sum(axis=1, dtype=np.int32)
        if not target.items.all():
          better, level = better & target.items, level & target.items
        into.better[rows], into.level[rows] = by_section(better), by_section(level)
        into.num_right[rows] = hits.sum(axis=1, dtype=np.int32)
    progress.add(len(numbers))
  return counts, first


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
) -> Iterator[Score]:
  """Whether a right answer is in the first 1, 5 and 10 per cent of the gallery, rounded up."""
  for share in SHARES:
    k = np.ceil(share * size).astype(np.int64)
    yield Score(f"recall@{share:.0%}", (rank <= k).astype(float), chance_of_hit(size, num_right, k))


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
