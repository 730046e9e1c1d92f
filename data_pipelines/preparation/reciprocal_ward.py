"""Ward clustering of what touches, for hundreds of thousands of nodes.

Two clusters that are each other's cheapest neighbour are united whatever happens elsewhere, so all
such pairs are united at once, a round at a time. Without the constraint that clusters touch this is
Ward's tree itself (Murtagh 1983, doi:10.1093/comjnl/26.4.354); with it, close to it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int
from scipy.sparse.csgraph import connected_components

_EDGES = 1 << 16
"""Edges whose ends are gathered at a time."""


def reciprocal_ward(
  points: Float[np.ndarray, "node width"], adjacency: scipy.sparse.csr_matrix, num_clusters: int
) -> Int[np.ndarray, " node"]:
  """The cluster of each node; every cluster is one connected piece.

  Args:
    points: what is similar lies near.
    adjacency: symmetric, connected: which nodes touch.
    num_clusters: as many as come out.
  """
  nodes = len(points)
  below, heights = [], []
  for pairs, costs in _rounds(points, adjacency, num_clusters):
    below.append(pairs)
    heights.append(costs)
  if not below:
    return np.arange(nodes)
  below, heights = np.concatenate(below), np.concatenate(heights)
  # A union is no lower than what it unites, so that no part of the tree is cut off from its root.
  cheapest = np.argsort(heights, kind="stable")[: nodes - num_clusters]
  parents = np.repeat(nodes + cheapest, 2)
  tree = scipy.sparse.csr_matrix(
    (np.ones(len(parents), bool), (below[cheapest].ravel(), parents)),
    shape=(nodes + len(below),) * 2,
  )
  return connected_components(tree, directed=False)[1][:nodes].astype(np.int64)


def _rounds(
  points: np.ndarray, adjacency: scipy.sparse.csr_matrix, num_clusters: int
) -> Iterator[tuple[Int[np.ndarray, "pair 2"], Float[np.ndarray, " pair"]]]:
  """(clusters that are united, what it costs) of each round, until the cheapest unions are known.

  Nodes are clusters of these numbers; unions are numbered on from there.
  """
  number = np.arange(len(points))
  centres, sizes = points.astype(np.float32), np.ones(len(points), np.float32)
  lowest = np.zeros(len(points), np.float32)  # what a union with it costs at least
  upper = scipy.sparse.triu(adjacency, 1).tocoo()
  edges = np.stack([upper.row, upper.col], 1).astype(np.int64)
  costs = _costs(edges, centres, sizes)
  used, known = len(points), np.zeros(0, np.float32)
  while len(edges) and not _settled(known, len(points) - num_clusters, costs):
    chosen = _reciprocal(edges, costs, len(sizes))
    first, second = edges[chosen].T
    height = np.maximum(costs[chosen], np.maximum(lowest[first], lowest[second]))
    yield np.stack([number[first], number[second]], 1), height
    known = np.concatenate([known, height])

    # The first of each pair becomes the union, the second goes.
    share = (sizes[second] / (sizes[first] + sizes[second]))[:, None]
    centres[first] += share * (centres[second] - centres[first])
    sizes[first] += sizes[second]
    lowest[first] = height
    number[first] = used + np.arange(len(first))
    used += len(first)
    target = np.arange(len(sizes))
    target[second] = first
    stays = target == np.arange(len(sizes))
    changed = np.zeros(len(sizes), bool)
    changed[first] = True
    place = np.cumsum(stays) - 1
    edges, costs = _united(place[target[edges]], costs)
    number, centres, sizes, lowest, changed = (
      values[stays] for values in (number, centres, sizes, lowest, changed)
    )
    new = changed[edges].any(axis=1)
    costs[new] = _costs(edges[new], centres, sizes)


def _settled(known: np.ndarray, wanted: int, costs: np.ndarray) -> bool:
  """Whether no union still to come is among the cheapest `wanted`."""
  if len(known) < wanted:
    return False
  return not wanted or bool(costs.min() >= np.partition(known, wanted - 1)[wanted - 1])


def _costs(edges: np.ndarray, centres: np.ndarray, sizes: np.ndarray) -> np.ndarray:
  """How much each union adds to the sum of squares within clusters."""
  out = np.empty(len(edges), np.float32)
  for start in range(0, len(edges), _EDGES):
    first, second = edges[start : start + _EDGES].T
    apart = centres[first] - centres[second]
    weight = sizes[first] * sizes[second] / (sizes[first] + sizes[second])
    out[start : start + _EDGES] = weight * np.einsum("nd,nd->n", apart, apart)
  return out


def _reciprocal(edges: np.ndarray, costs: np.ndarray, nodes: int) -> np.ndarray:
  """Edges that are the cheapest of both their ends; of equal ones the first."""
  falling = np.argsort(costs, kind="stable")[::-1]
  cheapest = np.empty(nodes, np.int64)
  cheapest[edges[falling].ravel()] = np.repeat(falling, 2)  # the last to be written stays
  own = np.arange(len(edges))
  return own[(cheapest[edges] == own[:, None]).all(axis=1)]


def _united(edges: np.ndarray, costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Each pair of different ends once, the smaller first."""
  low, high = edges.min(axis=1), edges.max(axis=1)
  apart = np.flatnonzero(low != high)
  _, first = np.unique((low[apart] << 32) | high[apart], return_index=True)
  kept = apart[first]
  return np.stack([low[kept], high[kept]], 1), costs[kept]
