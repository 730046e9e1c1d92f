"""Nested, contiguous regions of a section: spots that touch and resemble each other.

Two neighbouring spots at distance d whose features have cosine c resemble each other by
exp(-d^2 / 2h^2) exp((c - 1) / KAPPA). Ward clustering runs in the Euclidean space whose squared
distance is minus the logarithm of that weight, and joins only what touches; a coarser level joins
regions of the finer one, so regions are contiguous and nested by construction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import scipy.linalg
import scipy.sparse
from jaxtyping import Float, Int
from scipy.sparse.csgraph import connected_components
from sklearn.cluster import AgglomerativeClustering
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from data_pipelines.preparation.leiden_regions import leiden_regions
from data_pipelines.preparation.reciprocal_ward import reciprocal_ward
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
from data_pipelines.preparation.statistics import MIN_LOG_STD
from data_pipelines.problems import BadInputError

REGION_UM = (400.0, 800.0)
"""Side of a region at each level, finest first: 16 and 64 spots of Visium."""

PCA_COMPONENTS = 20
PCA_GENES = 2000

MANY = 20_000
"""Nodes from which on Ward's tree is built in rounds: bins of Visium HD, but no spots of Visium."""


def nested_regions(
  features: Float[np.ndarray, "spot width"],
  positions_um: Float[np.ndarray, "spot 2"],
  spots_per_region: Sequence[int] = (16, 64),
) -> Int[np.ndarray, "level spot"]:
  """The region of each spot of one section at each level, finest first; ids count from 0.

  Each region is one connected component; regions under `MIN_SPOTS` are given to a neighbour, unless
  they are an island. The same input gives the same regions.

  Args:
    features: of any scale; only their direction counts.
    spots_per_region: what each level aims for, finest first.
  """
  graph, spacing = spot_graph(positions_um)
  directions = directions_of(features) / np.sqrt(2 * KAPPA)
  levels: list[np.ndarray] = []
  # node = a spot, then a region of the level before.
  node = np.arange(len(positions_um))
  for target in spots_per_region:
    sizes = np.bincount(node)
    # Positions count over the length of a region's side: they keep a region compact, not round.
    side = spacing * np.sqrt(target)
    points = np.concatenate([directions, positions_um / (np.sqrt(2) * side)], axis=1)
    means = means_of(points, node)
    adjacency = contracted(graph, node)
    joined = _ward(means, adjacency, sizes, target)
    joined = absorbed(means, adjacency, sizes, joined)
    node = renumbered(joined[node])
    levels.append(node)
  return np.stack(levels).astype(np.int32)


def spots_of_side(
  sides_um: Sequence[float], positions_um: Float[np.ndarray, "spot 2"]
) -> tuple[int, ...]:
  """How many spots a region of each side has in one section: 16 at 400 um on Visium, 4 on legacy
  arrays, whose spots lie 200 um apart; never fewer than `MIN_SPOTS`."""
  spacing = spot_graph(positions_um)[1]
  return tuple(max(MIN_SPOTS, round((side / spacing) ** 2)) for side in sides_um)


METHODS = {"agglomeration": nested_regions, "leiden": leiden_regions}
"""(features, positions_um, spots_per_region) -> region of each spot at each level, finest first."""


def method(name: str) -> Callable[..., Int[np.ndarray, "level spot"]]:
  """The way to draw regions that configs call so; it is known to run here.

  Raises:
    BadInputError: no such method, or one that needs a package that is not installed.
  """
  if name not in METHODS:
    raise BadInputError(
      "config", "training.region_method", name, f"one of {', '.join(METHODS)}", "correct the name"
    )
  draw = METHODS[name]
  draw(np.ones((1, 1), np.float32), np.zeros((1, 2)), (1,))  # says now what it would say in hours
  return draw


def expression_features(
  logs: scipy.sparse.csr_matrix,
) -> Float[np.ndarray, "spot component"]:
  """Principal components of a section's standardised log expression: regions before any training.

  Only the genes that vary most relative to their mean take part; noise would drown them otherwise.
  """
  mean = np.asarray(logs.mean(axis=0)).ravel()
  variance = np.asarray(logs.multiply(logs).mean(axis=0)).ravel() - mean**2
  detected = (logs.getnnz(axis=0) >= max(3, 0.02 * logs.shape[0])) & (variance > 1e-9)
  dispersion = np.where(detected, variance / np.maximum(mean, 1e-3), -1.0)
  genes = np.sort(np.argsort(-dispersion, kind="stable")[: min(PCA_GENES, int(detected.sum()))])
  number = min(PCA_COMPONENTS, len(genes), logs.shape[0] - 1)
  if number < 1:
    return np.ones((logs.shape[0], 1), np.float32)
  # One thread: the sums are the same on every machine, and small ones wait for no other core.
  with threadpool_limits(1, user_api="blas"):
    if logs.shape[0] >= MANY:
      return _by_covariance(logs[:, genes], number).astype(np.float32)
    dense = logs[:, genes].toarray()
    z = (dense - dense.mean(axis=0)) / np.maximum(dense.std(axis=0), MIN_LOG_STD)
    pca = PCA(number, svd_solver="randomized", random_state=0)
    return pca.fit_transform(z).astype(np.float32)


def _by_covariance(
  values: scipy.sparse.csr_matrix, number: int
) -> Float[np.ndarray, "spot component"]:
  """The same components of many spots, whose standardised expression would not fit into memory."""
  spots = values.shape[0]
  mean = np.asarray(values.mean(axis=0)).ravel()
  covariance = (values.T @ values).toarray() / spots - np.outer(mean, mean)
  scale = 1.0 / np.maximum(np.sqrt(np.maximum(np.diag(covariance), 0.0)), MIN_LOG_STD)
  last = len(mean) - 1
  _, axes = scipy.linalg.eigh(
    covariance * np.outer(scale, scale), subset_by_index=(last + 1 - number, last)
  )
  axes = axes[:, ::-1] * scale[:, None]
  return values @ axes - mean @ axes


def stacked(sections: Sequence[np.ndarray]) -> Int[np.ndarray, "level spot"]:
  """Regions of several sections side by side, ids made unique within each level."""
  offset = np.zeros((len(sections[0]), 1), np.int32)
  out = []
  for regions in sections:
    own = np.stack([renumbered(ids) for ids in regions]).astype(np.int32)
    out.append(own + offset)
    offset = offset + own.max(axis=1, keepdims=True) + 1
  return np.concatenate(out, axis=1)


def refreshed(
  regions: Int[np.ndarray, "level spot"],
  spots: pd.DataFrame,
  spot_index: Int[np.ndarray, " known"],
  features: Float[np.ndarray, "known width"],
  sides_um: Sequence[float],
  draw: Callable[..., Int[np.ndarray, "level spot"]] = nested_regions,
) -> Int[np.ndarray, "level spot"]:
  """Regions of the whole corpus, re-clustered in the sections whose every spot has features.

  Args:
    regions: what stands now; kept for the other sections.
    spots: the corpus' table of spots, one section after the other.
    spot_index: rows of the corpus that `features` are of.
    sides_um: of a region at each level, finest first.
    draw: one of `METHODS`.
  """
  row = np.full(len(spots), -1)
  row[spot_index] = np.arange(len(spot_index))
  positions = spots[["x_um", "y_um"]].to_numpy(np.float64)
  names = spots["section_id"].to_numpy()
  starts = np.flatnonzero(np.r_[True, names[1:] != names[:-1]])
  parts = []
  for start, stop in zip(starts, [*starts[1:], len(spots)], strict=True):
    known = row[start:stop]
    if (known >= 0).all():
      places = positions[start:stop]
      parts.append(draw(features[known], places, spots_of_side(sides_um, places)))
    else:
      parts.append(regions[:, start:stop])
  return stacked(parts)


def _ward(
  means: np.ndarray, adjacency: scipy.sparse.csr_matrix, sizes: np.ndarray, target: int
) -> np.ndarray:
  """A cluster for each node; clusters never reach over a gap between pieces of tissue."""
  pieces, piece = connected_components(adjacency, directed=False)
  clusters = np.zeros(len(means), np.int64)
  used = 0
  for number in range(pieces):
    nodes = np.flatnonzero(piece == number)
    k = min(len(nodes), max(1, round(sizes[nodes].sum() / target)))
    if k == 1:
      clusters[nodes] = used
    elif len(nodes) >= MANY:
      clusters[nodes] = used + reciprocal_ward(means[nodes], adjacency[nodes][:, nodes], k)
    else:
      ward = AgglomerativeClustering(
        n_clusters=k, linkage="ward", connectivity=adjacency[nodes][:, nodes]
      )
      clusters[nodes] = used + ward.fit_predict(means[nodes])
    used += k
  return clusters
