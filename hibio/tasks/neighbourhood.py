"""Features smoothed over space, so that a baseline sees a spot's surroundings as the model does."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from sklearn.neighbors import radius_neighbors_graph

from hibio.tasks.cohort import Cohort


def neighbour_mean(
  cohort: Cohort, features: Float[np.ndarray, "spot width"], radius_um: float
) -> Float[np.ndarray, "spot width"]:
  """Mean of a feature over the spots of the same section within `radius_um`, the spot included.

  Every spot of the cohort counts: take those first that the feature says something of
  (`Cohort.seen_by`).
  """
  means = np.zeros(features.shape, np.float32)
  positions_um = cohort.spots[["x_um", "y_um"]].to_numpy(np.float64)
  for _, rows in cohort.sections():
    near = radius_neighbors_graph(positions_um[rows], radius_um, include_self=True)
    means[rows] = (near @ features[rows]) / near.sum(axis=1)
  return means
