"""The spots nearest to each spot of one section: for smoothing, coherence and baselines."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import cKDTree


def nearest_spots(
  positions_um: Float[np.ndarray, "spot 2"], num_neighbours: int
) -> Int[np.ndarray, "spot neighbour"]:
  """The `num_neighbours` nearest other spots of each spot, nearest first.

  A section with fewer other spots gives all of them. Spots at equal distance are taken in an order
  that is the same in every run.
  """
  wanted = min(num_neighbours, len(positions_um) - 1)
  if wanted < 1:
    return np.zeros((len(positions_um), 0), np.int64)
  found = cKDTree(positions_um).query(positions_um, k=wanted + 1)[1]
  # A spot is not always the first found: two spots can lie at one place. Where others crowd it out
  # of the list, the last of them goes instead of it.
  own = found == np.arange(len(found))[:, None]
  own[~own.any(axis=1), -1] = True
  return found[~own].reshape(len(found), wanted)


def spacing_um(positions_um: Float[np.ndarray, "spot 2"]) -> float:
  """Median distance of a spot to its nearest other place; not-a-number where there is none."""
  places = np.unique(positions_um, axis=0)
  if len(places) < 2:
    return float("nan")
  return float(np.median(cKDTree(places).query(places, k=2)[0][:, 1]))
