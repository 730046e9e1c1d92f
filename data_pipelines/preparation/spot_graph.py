"""The graph of spots that touch, and what happens to it as its nodes unite into regions."""

from __future__ import annotations

import heapq

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

REACH = 1.5
"""Spots closer than this many median spacings touch: 6 of a hexagonal lattice, 8 of a square."""

KAPPA = 0.2
"""How different two spots may be and still belong together; smaller is stricter."""

MIN_SPOTS = 4
"""Regions of fewer spots are given to a neighbour."""


def spot_graph(
  positions_um: Float[np.ndarray, "spot 2"],
) -> tuple[scipy.sparse.csr_matrix, float]:
  """The symmetric graph of spots that touch, and the median distance to the nearest spot."""
  spots = len(positions_um)
  if spots < 2:
    return scipy.sparse.csr_matrix((spots, spots), dtype=bool), 1.0
  tree = cKDTree(positions_um)
  nearest = tree.query(positions_um, k=2)[0][:, 1]
  spacing = float(np.median(nearest[nearest > 0])) if (nearest > 0).any() else 1.0
  pairs = tree.query_pairs(REACH * spacing, output_type="ndarray")
  rows, columns = np.concatenate([pairs, pairs[:, ::-1]]).T
  graph = scipy.sparse.csr_matrix((np.ones(len(rows), bool), (rows, columns)), shape=(spots, spots))
  return graph, spacing


def absorbed(
  means: Float[np.ndarray, "node width"],
  adjacency: scipy.sparse.csr_matrix,
  sizes: Int[np.ndarray, " node"],
  clusters: Int[np.ndarray, " node"],
) -> Int[np.ndarray, " node"]:
  """Clusters of fewer than `MIN_SPOTS` spots join the touching cluster they resemble most.

  An island, which touches nothing, stays as small as it is.

  Args:
    means: of the spots of each node.
    sizes: spots of each node.
  """
  clusters = clusters.copy()
  spots = np.bincount(clusters, weights=sizes)
  order = np.argsort(clusters, kind="stable")
  members = np.split(order, np.cumsum(np.bincount(clusters))[:-1])
  small = [(spots[c], c) for c in np.flatnonzero((spots > 0) & (spots < MIN_SPOTS)).tolist()]
  heapq.heapify(small)
  while small:
    size, smallest = heapq.heappop(small)
    if size != spots[smallest]:  # it has joined another, or another it
      continue
    nodes = members[smallest]
    near = np.setdiff1d(clusters[adjacency[nodes].indices], smallest)
    if not len(near):
      continue
    centres = np.stack([_centre(means, sizes, members[cluster]) for cluster in near])
    distances = ((centres - _centre(means, sizes, nodes)) ** 2).sum(axis=1)
    joined = near[np.argmin(distances)]
    clusters[nodes] = joined
    members[joined] = np.sort(np.concatenate([members[joined], nodes]))
    spots[joined], spots[smallest] = spots[joined] + size, 0
    if spots[joined] < MIN_SPOTS:
      heapq.heappush(small, (spots[joined], int(joined)))
  return clusters


def directions_of(
  features: Float[np.ndarray, "spot width"],
) -> Float[np.ndarray, "spot width"]:
  """Features scaled to length 1; a zero vector stays zero."""
  norms = np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
  return (features / norms).astype(np.float64)


def means_of(
  points: Float[np.ndarray, "spot width"], node: Int[np.ndarray, " spot"]
) -> Float[np.ndarray, "node width"]:
  """Mean over the spots of each node."""
  members = scipy.sparse.csr_matrix((np.ones(len(node)), (node, np.arange(len(node)))))
  return (members @ points) / np.bincount(node)[:, None]


def contracted(
  graph: scipy.sparse.csr_matrix, node: Int[np.ndarray, " spot"]
) -> scipy.sparse.csr_matrix:
  """Which nodes touch: some spot of one touches a spot of the other; none touches itself."""
  edges = graph.tocoo()
  rows, columns = node[edges.row], node[edges.col]
  apart = rows != columns
  n = node.max() + 1
  merged = scipy.sparse.csr_matrix(
    (np.ones(apart.sum(), np.int32), (rows[apart], columns[apart])), shape=(n, n)
  )
  merged.sum_duplicates()
  merged.data[:] = 1
  return merged


def renumbered(ids: Int[np.ndarray, " spot"]) -> Int[np.ndarray, " spot"]:
  """The same groups, numbered from 0 in the order in which they appear."""
  _, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
  rank = np.empty(len(first), np.int64)
  rank[np.argsort(first)] = np.arange(len(first))
  return rank[inverse]


def _centre(means: np.ndarray, sizes: np.ndarray, chosen: np.ndarray) -> np.ndarray:
  return np.average(means[chosen], axis=0, weights=sizes[chosen])
