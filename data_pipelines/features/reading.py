"""What a model reads of the features of a section."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree

NEIGHBOURS = 8
"""Spots whose mean a model reads beside a spot's own features: a ring on a square lattice."""

_ALIKE = 1e-6
"""Distances that differ by less of their length are equal but for rounding."""

_LEAST_DEVIATION = 1e-6
"""A feature that varies less says nothing of a section; dividing by it would show rounding."""


def model_input(
  values: Float[np.ndarray, "spot width"],
  known: Bool[np.ndarray, " spot"],
  positions_um: Float[np.ndarray, "spot 2"],
) -> Float[np.ndarray, "spot both"]:
  """What a model reads of one section: each spot's features, then the mean of its surroundings.

  Features are z-scored over the known spots of the section, which takes away what all of a slide
  shares, its stain above all. Behind them stands the mean of the z-scores of the `NEIGHBOURS`
  nearest other known spots, and of those that are as near. Rows are 0 where unknown.
  """
  out = np.zeros((len(values), 2 * values.shape[1]), np.float32)
  rows = np.flatnonzero(known)
  if not len(rows):
    return out
  own = values[rows].astype(np.float32)
  deviation = own.std(axis=0, dtype=np.float64)
  varies = deviation > _LEAST_DEVIATION
  own -= own.mean(axis=0, dtype=np.float64).astype(np.float32)
  own *= np.where(varies, 1.0 / np.where(varies, deviation, 1.0), 0.0).astype(np.float32)
  out[rows] = np.concatenate([own, _mean_of_neighbours(own, positions_um[rows])], axis=1)
  return out


def _mean_of_neighbours(
  values: Float[np.ndarray, "spot width"], positions_um: Float[np.ndarray, "spot 2"]
) -> Float[np.ndarray, "spot width"]:
  """Mean over the nearest other spots; 0 where there is no other.

  On a lattice many are equally far. All that are as near as the last of `NEIGHBOURS` count, up to
  twice as many: else it would be the order of the spots that chooses among them.
  """
  looked_at = range(1, min(2 * NEIGHBOURS + 1, len(values)) + 1)
  distance, near = cKDTree(positions_um).query(positions_um, k=looked_at)
  other = near != np.arange(len(values))[:, None]
  last = distance[:, min(NEIGHBOURS, len(looked_at) - 1), None]  # the first is the spot itself
  other &= distance <= last * (1 + _ALIKE)
  total = np.zeros_like(values)
  for column, counts in zip(near.T, other.T, strict=True):  # a neighbour at a time: memory
    total += values[column] * counts[:, None].astype(np.float32)
  return total / np.maximum(other.sum(axis=1, keepdims=True), 1).astype(np.float32)
