"""Leiden communities of a nearest-neighbour graph, at the resolutions that give k domains.

The resolution is not k: which one gives k domains has to be searched, and which of several hits is
taken decides the score. Every hit counts here and the task reports the median, not the best.
"""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Callable

import graspologic_native
import numpy as np
import scipy.sparse
from jaxtyping import Float, Int
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import kneighbors_graph

NUM_NEIGHBOURS = 15
"""Of the graph in feature space; scanpy's default."""

_COARSE = tuple(np.geomspace(0.05, 3.0, 10))
_CLOSER = 8
NUM_RESOLUTIONS = len(_COARSE) + _CLOSER


def runs_with_k_domains(
  features: Float[np.ndarray, "spot width"], k: int, seed: int
) -> Int[np.ndarray, "run spot"]:
  """The partitions into exactly `k` domains among `NUM_RESOLUTIONS` resolutions.

  Ten resolutions from 0.05 to 3 are tried first, then eight more where they step over `k`. If none
  hits, those with the nearest number of domains are returned.

  Spots with the very same features, as those of a region have in a region's mean, are one point of
  the graph: as points of their own they would be each other's nearest, and no more than that.

  References:
    Traag, Waltman & van Eck 2019, doi 10.1038/s41598-019-41695-z; modularity with resolution.
  """
  if (features == features[:1]).all():
    return np.zeros((1, len(features)), np.int64)
  swept = _swept(np.ascontiguousarray(features).tobytes(), features.dtype.str, len(features))
  graph, tried = swept.graph, dict(zip(_COARSE, swept.coarse(seed), strict=True))
  below = [value for value, labels in tried.items() if labels.max() + 1 < k]
  above = [value for value, labels in tried.items() if labels.max() + 1 > k]
  low, high = max(below, default=_COARSE[0] / 4), min(above, default=_COARSE[-1] * 4)
  for value in np.linspace(low, high, _CLOSER + 2)[1:-1]:
    tried[value] = communities(graph, value, seed)
  runs = np.stack(list(tried.values()))
  missed_by = np.abs(runs.max(axis=1) + 1 - k)
  return runs[missed_by == missed_by.min()][:, swept.of_spot]


@dataclasses.dataclass(frozen=True)
class _Swept:
  """What is the same for every k: the point of each spot, the graph, and the first partitions."""

  of_spot: Int[np.ndarray, " spot"]
  graph: scipy.sparse.csr_matrix
  kept: dict[int, list[np.ndarray]] = dataclasses.field(default_factory=dict)

  def coarse(self, seed: int) -> list[np.ndarray]:
    if seed not in self.kept:
      self.kept[seed] = [communities(self.graph, value, seed) for value in _COARSE]
    return self.kept[seed]


@functools.lru_cache(maxsize=32)
def _swept(features: bytes, dtype: str, spots: int) -> _Swept:
  """Remembered for the sections of one task, which come again with every seed and label."""
  values = np.frombuffer(features, dtype).reshape(spots, -1)
  points, of_spot = np.unique(values, axis=0, return_inverse=True)
  return _Swept(of_spot, neighbour_graph(points))


def neighbour_graph(points: Float[np.ndarray, "point width"]) -> scipy.sparse.csr_matrix:
  """The symmetric graph that joins each point to its nearest ones in feature space."""
  graph = kneighbors_graph(points, min(NUM_NEIGHBOURS, len(points) - 1))
  return scipy.sparse.csr_matrix(graph.maximum(graph.T))


def communities(
  graph: scipy.sparse.csr_matrix, resolution: float, seed: int
) -> Int[np.ndarray, " point"]:
  """The community of each point, numbered from 0; the same seed gives the same communities."""
  _, community = graspologic_native.leiden_csr(
    graph.indptr.astype(np.int64),
    graph.indices.astype(np.int32),
    graph.data.astype(np.float64),
    graph.shape[0],
    resolution=float(resolution),
    iterations=2,
    seed=seed,
  )
  labels = np.fromiter((community[point] for point in range(graph.shape[0])), np.int64)
  return np.unique(labels, return_inverse=True)[1]


@dataclasses.dataclass(frozen=True)
class Clusterer:
  """One entry of `CLUSTERERS`.

  Attributes:
    run: (features, positions_um, k, seed) -> labels of each run that counts, `[run, spot]`; the
      task scores the median over runs. None of those here looks at the positions: what smooths over
      space is a feature (`baselines.neighbours`) or a step of its own (`smoothing`).
    name: as rows print it.
    seeded: the seed makes a difference.
    most_spots: larger sections do not fit in memory.
    num_tried: runs tried, of which those that hit k domains count.
  """

  run: Callable[[np.ndarray, np.ndarray, int, int], np.ndarray]
  name: str
  seeded: bool = True
  most_spots: int | None = None
  num_tried: int = 1


def kmeans(
  features: Float[np.ndarray, "spot width"],
  positions_um: Float[np.ndarray, "spot 2"],
  k: int,
  seed: int,
) -> Int[np.ndarray, "1 spot"]:
  """k-means; the best of five starts."""
  del positions_um
  with warnings.catch_warnings():
    # A collapsed model has fewer than k distinct embeddings; its score says so.
    warnings.simplefilter("ignore", ConvergenceWarning)
    return KMeans(k, n_init=5, random_state=seed).fit_predict(features)[None].astype(np.int64)


def ward(
  features: Float[np.ndarray, "spot width"],
  positions_um: Float[np.ndarray, "spot 2"],
  k: int,
  seed: int,
) -> Int[np.ndarray, "1 spot"]:
  """Agglomerative clustering with Ward's criterion."""
  del positions_um, seed
  return AgglomerativeClustering(k, linkage="ward").fit_predict(features)[None].astype(np.int64)


def leiden(
  features: Float[np.ndarray, "spot width"],
  positions_um: Float[np.ndarray, "spot 2"],
  k: int,
  seed: int,
) -> Int[np.ndarray, "run spot"]:
  """Leiden at every resolution of the sweep that gives k domains."""
  del positions_um
  return runs_with_k_domains(features, k, seed)


CLUSTERERS = {
  "kmeans": Clusterer(kmeans, "k-means"),
  # Half a matrix of distances: 1.6 GB at the limit.
  "ward": Clusterer(ward, "Ward", seeded=False, most_spots=20_000),
  "leiden": Clusterer(leiden, "Leiden", num_tried=NUM_RESOLUTIONS),
}
