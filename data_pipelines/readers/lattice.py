"""Micrometres per pixel, from the regular lattice on which every array prints its spots.

The lattice is the one scale that every platform states and no export loses; tags in image files
are often missing or wrong.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import pdist

from data_pipelines.problems import BadInputError

_MOST_SPOTS = 1500  # a million pairs: enough, and fast
_MAX_SPREAD = 0.25
_PLAUSIBLE_UM_PER_PX = (0.05, 30.0)
SPOT_UM = (65.0, 55.0)
"""Diameter that `spot_diameter_fullres` stands for: as Space Ranger writes it, and as HEST does."""
_DIAMETER_TOLERANCE = 0.15


def um_per_px(
  lattice_um: Float[np.ndarray, "spot 2"],
  positions_px: Float[np.ndarray, "spot 2"],
  file: Path,
) -> float:
  """Median over pairs of spots of their distance on the lattice by their distance in pixels.

  Any rotation or reflection of the array gives the same; single spots that are off do not matter.

  Raises:
    BadInputError: too few spots, coordinates that do not fit each other, or an absurd scale.
  """
  step = max(1, len(lattice_um) // _MOST_SPOTS)
  nominal, measured = pdist(lattice_um[::step]), pdist(positions_px[::step])
  pairs = (nominal > 0) & (measured > 0)
  fix = (
    "check that the positions belong to this section and are pixels of the full-size image; if so, "
    "give --um_per_px"
  )
  if not pairs.any():
    raise BadInputError(
      file, "positions", f"{len(lattice_um)} spots at one place", "spots of an array", fix
    )
  low, ratio, high = np.quantile(nominal[pairs] / measured[pairs], (0.25, 0.5, 0.75))
  if (high - low) / ratio > _MAX_SPREAD:
    raise BadInputError(
      file,
      "positions",
      f"pixel distances that are {low:.3g} to {high:.3g} um per pixel by the array coordinates",
      "one scale for all spots (are the rows of one column shuffled?)",
      fix,
    )
  if not _PLAUSIBLE_UM_PER_PX[0] <= ratio <= _PLAUSIBLE_UM_PER_PX[1]:
    raise BadInputError(
      file, "positions", f"{ratio:.3g} um per pixel", "{} to {}".format(*_PLAUSIBLE_UM_PER_PX), fix
    )
  return float(ratio)


def spot_um(um_per_px: float, diameter_px: float) -> float | None:
  """What a spot of the lattice measures by one of the conventions; None where it fits none."""
  nearest = min(SPOT_UM, key=lambda um: abs(um_per_px * diameter_px / um - 1))
  fits = abs(um_per_px * diameter_px / nearest - 1) <= _DIAMETER_TOLERANCE
  return nearest if fits else None


def hexagonal(
  rows: np.ndarray, columns: np.ndarray, pitch_um: float
) -> Float[np.ndarray, "spot 2"]:
  """(x, y) on a lattice whose odd rows are shifted: columns are numbered by half a pitch."""
  return np.stack([columns * 0.5, rows * np.sqrt(0.75)], axis=1) * pitch_um


def is_checkerboard(rows: np.ndarray, columns: np.ndarray) -> bool:
  """Whether of the places of an array every second one is empty, wherever counting begins; so it
  is on hexagonal ones, whose columns count half spots."""
  odd = np.mean((np.round(rows) + np.round(columns)) % 2)
  return bool(min(odd, 1 - odd) < 0.02)


def square(rows: np.ndarray, columns: np.ndarray, pitch_um: float) -> Float[np.ndarray, "spot 2"]:
  """(x, y) on a square lattice; a checkerboard, where every second place is empty, too.

  On a checkerboard the nearest spots are one row and one column apart, and that is the pitch.
  """
  checkerboard = len(rows) > 20 and is_checkerboard(rows, columns)
  unit = pitch_um / np.sqrt(2) if checkerboard else pitch_um
  return np.stack([columns, rows], axis=1) * unit
