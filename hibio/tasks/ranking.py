"""Where the right answers stand among all candidates, in one blocked pass over the similarities.

Counts are kept by section, so that one pass serves every gallery that is made of whole sections.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Bool, Float, Int

from hibio.tasks.progress import Progress

_BLOCK_ENTRIES = 2**25
"""Similarities in memory at a time: 128 MiB of float32."""


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
  queries: Float[np.ndarray, "query width"],
  items: Float[np.ndarray, "item width"],
  section_starts: Int[np.ndarray, " section"],
  targets: Mapping[str, Target],
  what: str = "ranking",
) -> tuple[dict[str, Standing], Float[np.ndarray, "query section"]]:
  """The standing of each target's right answers, and where each query's first item lies.

  Args:
    items: in the order of their sections.
    section_starts: first item of each section.

  Returns:
    The second array holds the share of the first items, which are several if they tie, by section.
  """
  num_queries, num_sections = len(queries), len(section_starts)
  edges = np.append(section_starts, len(items))
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
  block = int(np.clip(_BLOCK_ENTRIES // max(len(items), 1), 1, 1024))
  progress = Progress(what, num_queries, "queries")
  for start in range(0, num_queries, block):
    rows = np.arange(start, min(start + block, num_queries))
    similarity = queries[rows] @ items.T
    top = _by_section(similarity == similarity.max(axis=1, keepdims=True), edges)
    first[rows] = top / top.sum(axis=1, keepdims=True)
    for name, target in targets.items():
      into, hits = counts[name], target.hits(rows)
      best = np.where(hits, similarity, -np.inf).max(axis=1, keepdims=True)
      into.better[rows] = _by_section((similarity > best) & target.items, edges)
      level = similarity == best
      into.right[rows] = (level & hits).sum(axis=1, dtype=np.int32)
      level &= target.items
      into.level[rows] = _by_section(level, edges)
      into.num_right[rows] = hits.sum(axis=1, dtype=np.int32)
    progress.add(len(rows))
  return counts, first


def _by_section(
  mask: Bool[np.ndarray, "query item"], edges: Int[np.ndarray, " edge"]
) -> Int[np.ndarray, "query section"]:
  pieces = zip(edges[:-1], edges[1:], strict=True)
  return np.stack([mask[:, low:high].sum(axis=1, dtype=np.int32) for low, high in pieces], axis=1)
