"""Ways to divide the spots of one section into k domains by their features, as they are.

Features are not standardised first: principal components carry their weight in their length, and
whitening them makes that baseline weaker than it is.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.exceptions import ConvergenceWarning

from hibio.tasks import leiden as leiden_sweep


@dataclasses.dataclass(frozen=True)
class Clusterer:
  """One entry of `CLUSTERERS`.

  Attributes:
    run: (features, positions_um, k, seed) -> labels of each run that counts, `[run, spot]`; the
      task scores the median over runs. None of those here looks at the positions: what smooths over
      space is a feature (`spatial_baselines`) or a step of its own (`smoothing`).
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
  return leiden_sweep.runs_with_k_domains(features, k, seed)


CLUSTERERS = {
  "kmeans": Clusterer(kmeans, "k-means"),
  # Half a matrix of distances: 1.6 GB at the limit.
  "ward": Clusterer(ward, "Ward", seeded=False, most_spots=20_000),
  "leiden": Clusterer(leiden, "Leiden", num_tried=leiden_sweep.NUM_RESOLUTIONS),
}
