"""Nested, contiguous regions by Leiden communities, beside the Ward clusters of `regions`.

Two spots that touch, at distance d and with features of cosine c, are joined by an edge of weight
exp(-d^2 / 2h^2) exp((c - 1) / KAPPA); h is the spacing. Communities are cut into their connected
components and small ones given to a neighbour. The next level finds communities of the regions, so
regions are contiguous and nested by construction.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int
from scipy.sparse.csgraph import connected_components

from data_pipelines.preparation.spot_graph import (
  KAPPA,
  MIN_SPOTS,
  absorbed,
  contracted,
  directions_of,
  means_of,
  renumbered,
  spot_graph,
)
from data_pipelines.problems import BadInputError

_SEED = 0
_RESOLUTIONS = (1e-3, 1e4)
_HALVINGS = 16
"""Of the logarithm's range; the last one changes the resolution by 0.02 %."""


def leiden_regions(
  features: Float[np.ndarray, "spot width"],
  positions_um: Float[np.ndarray, "spot 2"],
  spots_per_region: Sequence[int] = (16, 64),
) -> Int[np.ndarray, "level spot"]:
  """The region of each spot of one section at each level, finest first; ids count from 0.

  The resolution that gives regions of about the size asked for is searched. The same input gives
  the same regions.

  Args:
    features: of any scale; only their direction counts.
    spots_per_region: what each level aims for, finest first.

  Raises:
    BadInputError: the package `graspologic-native` is not installed.

  References:
    Traag, Waltman & van Eck 2019, doi 10.1038/s41598-019-41695-z; modularity with resolution.
  """
  native = _native()
  graph, spacing = spot_graph(positions_um)
  directions = directions_of(features)
  weights = _weights(graph, directions, positions_um, spacing)
  levels: list[np.ndarray] = []
  # node = a spot, then a region of the level before.
  node = np.arange(len(positions_um))
  for target in spots_per_region:
    sizes = np.bincount(node)
    edges = _summed(weights, node)
    joined = _communities_of_size(native, edges, sizes, target)
    joined = absorbed(means_of(directions, node), contracted(graph, node), sizes, joined)
    node = renumbered(joined[node])
    levels.append(node)
  return np.stack(levels).astype(np.int32)


def _native() -> ModuleType:
  try:
    import graspologic_native  # here, as runs without Leiden regions do not need it
  except ImportError as error:
    raise BadInputError(
      "graspologic-native",
      "package",
      f"not to be imported ({error})",
      "an installed one, which finds Leiden communities",
      "pip install graspologic-native, or set training.region_method to agglomeration",
    ) from error
  return graspologic_native


def _weights(
  graph: scipy.sparse.csr_matrix,
  directions: Float[np.ndarray, "spot width"],
  positions_um: Float[np.ndarray, "spot 2"],
  spacing: float,
) -> scipy.sparse.csr_matrix:
  edges = graph.tocoo()
  squared = ((positions_um[edges.row] - positions_um[edges.col]) ** 2).sum(axis=1)
  cosine = (directions[edges.row] * directions[edges.col]).sum(axis=1)
  weight = np.exp(-squared / (2 * spacing**2) + (cosine - 1) / KAPPA)
  return scipy.sparse.csr_matrix((weight, (edges.row, edges.col)), shape=graph.shape)


def _summed(weights: scipy.sparse.csr_matrix, node: np.ndarray) -> scipy.sparse.csr_matrix:
  """The weights between nodes; what lies inside of a node is left out."""
  edges = weights.tocoo()
  rows, columns = node[edges.row], node[edges.col]
  apart = rows != columns
  n = node.max() + 1
  return scipy.sparse.csr_matrix((edges.data[apart], (rows[apart], columns[apart])), shape=(n, n))


def _communities_of_size(
  native: ModuleType, edges: scipy.sparse.csr_matrix, sizes: np.ndarray, target: int
) -> np.ndarray:
  """Connected communities at the resolution at which those that are not tiny hold `target` spots.

  Of the resolutions tried, the one whose number of communities of `MIN_SPOTS` or more comes
  nearest to what the spots allow.
  """
  wanted = max(1, round(sizes.sum() / target))
  low, high = np.log(_RESOLUTIONS)
  best, missed = connected_components(edges, directed=False)[1], np.inf
  for _ in range(_HALVINGS if edges.nnz else 0):
    middle = (low + high) / 2
    found = _communities(native, edges, float(np.exp(middle)))
    spots = np.bincount(found, weights=sizes)
    lasting = spots >= MIN_SPOTS
    if abs(lasting.sum() - wanted) < missed:
      best, missed = found, abs(lasting.sum() - wanted)
    # Very fine communities are all tiny: few of them last, and not for being coarse.
    too_fine = lasting.sum() > wanted or spots[lasting].sum() < 0.5 * spots.sum()
    low, high = (low, middle) if too_fine else (middle, high)
  return best


def _communities(
  native: ModuleType, edges: scipy.sparse.csr_matrix, resolution: float
) -> np.ndarray:
  """A connected community for each node; the same input gives the same communities."""
  # Nodes without an edge are not among the answers.
  labels = -1 - np.arange(edges.shape[0])
  _, community = native.leiden_csr(
    edges.indptr.astype(np.int64),
    edges.indices.astype(np.int32),
    edges.data.astype(np.float64),
    edges.shape[0],
    resolution=resolution,
    iterations=2,
    seed=_SEED,
  )
  labels[list(community.keys())] = list(community.values())
  pairs = edges.tocoo()
  inside = labels[pairs.row] == labels[pairs.col]
  kept = scipy.sparse.csr_matrix(
    (np.ones(inside.sum(), bool), (pairs.row[inside], pairs.col[inside])), shape=edges.shape
  )
  return connected_components(kept, directed=False)[1]
