"""Micrometres a pixel of a section of an AnnData, by whatever in it states a length.

No key is agreed upon. A factor that says so is believed; else the most exact rule is asked first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree

from data_pipelines.problems import BadInputError
from data_pipelines.readers import lattice
from data_pipelines.readers.space_ranger import PITCH_UM, SPOT_DIAMETER_UM

_TOLERANCE = 0.15
_HEXAGONAL = 1.1
"""The sixth neighbour of a spot on a hexagonal lattice is hardly farther than the first."""


class Evidence(NamedTuple):
  """What is known of one section.

  Attributes:
    positions_px: spot centres in pixels of the full-size image.
    array_positions: (row, column) on the array; None where the file does not say.
    scalefactors: of the section's entry in `uns["spatial"]`.
    path: for messages.
  """

  positions_px: Float[np.ndarray, "spot 2"]
  array_positions: np.ndarray | None
  scalefactors: Mapping[str, float]
  path: Path


def um_per_px(evidence: Evidence) -> tuple[float, str]:
  """Micrometres a pixel of the full-size image, and how it was found.

  Raises:
    BadInputError: nothing in the file states a length, or two lengths contradict each other.
  """
  stated = evidence.scalefactors.get("microns_per_pixel")
  if stated is not None:
    return stated, "scalefactor microns_per_pixel"
  found = {how: value for how, rule in RULES.items() if (value := rule(evidence)) is not None}
  if not found:
    raise BadInputError(
      evidence.path,
      "micrometres a pixel",
      f"no length in the scalefactors ({', '.join(evidence.scalefactors) or 'none'}) and no "
      "lattice of known pitch",
      "microns_per_pixel, spot_diameter_fullres, or array_row and array_col of a Visium slide",
      "give --um_per_px (1 where positions are micrometres)",
    )
  (how, value), *others = found.items()
  for other, second in others:
    if not 1 - _TOLERANCE <= second / value <= 1 + _TOLERANCE:
      raise BadInputError(
        evidence.path,
        "micrometres a pixel",
        f"{value:.4g} by {how} beside {second:.4g} by {other}",
        "the same length by both",
        "give positions in pixels of the full-size image, or say --um_per_px",
      )
  return value, how


def _pitch(evidence: Evidence) -> float | None:
  """By array coordinates, where they show a lattice whose pitch is known."""
  if evidence.array_positions is None or len(evidence.positions_px) < 4:
    return None
  rows, columns = evidence.array_positions.T
  if "bin_size_um" in evidence.scalefactors:
    nominal = np.stack([columns, rows], axis=1) * evidence.scalefactors["bin_size_um"]
  elif _is_visium(evidence):
    nominal = lattice.hexagonal(rows, columns, PITCH_UM)
  else:
    return None
  return lattice.um_per_px(nominal, evidence.positions_px, evidence.path)


def _diameter(evidence: Evidence) -> float | None:
  """By what Space Ranger writes; on other arrays a spot has another diameter."""
  if "spot_diameter_fullres" not in evidence.scalefactors or _is_other(evidence):
    return None
  return SPOT_DIAMETER_UM / evidence.scalefactors["spot_diameter_fullres"]


def _is_visium(evidence: Evidence) -> bool:
  """Rows of Visium are shifted by half a spot, and columns count half spots."""
  if evidence.array_positions is None or "bin_size_um" in evidence.scalefactors:
    return False
  rows, columns = evidence.array_positions.T
  return np.array_equal(rows % 2, columns % 2)


def _is_other(evidence: Evidence) -> bool:
  """The array is known not to be Visium's."""
  known = evidence.array_positions is not None or "bin_size_um" in evidence.scalefactors
  return known and not _is_visium(evidence)


def _neighbours(evidence: Evidence) -> float | None:
  """By the distance between spots, where they lie on a hexagonal lattice: Visium's is known."""
  if len(evidence.positions_px) < 20 or _is_other(evidence):
    return None
  distances = cKDTree(evidence.positions_px).query(evidence.positions_px, k=7)[0][:, 1:]
  first, sixth = np.quantile(distances[:, 0], 0.5), np.quantile(distances[:, 5], 0.25)
  if not (first > 0 and sixth <= _HEXAGONAL * first):
    return None
  return PITCH_UM / float(np.median(distances))


RULES: dict[str, Callable[[Evidence], float | None]] = {
  "lattice pitch": _pitch,
  f"spot diameter of {SPOT_DIAMETER_UM:g} um": _diameter,
  "hexagonal lattice, taken for Visium's 100 um": _neighbours,
}
"""The most exact first."""
