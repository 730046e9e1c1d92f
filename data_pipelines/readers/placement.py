"""Whether positions, array places and image belong together: judged alike for every platform."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float, Num

from data_pipelines.problems import BadInputError
from data_pipelines.readers import array_fit, lattice, on_tissue
from data_pipelines.slide_image import SlideImage

SWAPPED, AS_IS = "swapped", "as_is"
"""What users say of positions: that x and y are exchanged; that they are right, whatever it looks
like."""
PRINTED = frozenset(("visium", "legacy_st", "stimage"))
"""Platforms whose arrays are known not to be mirrored."""
_MIRRORED = frozenset(("visium_hd",))
"""Platforms whose array columns run to the left where rows run down: so in two real outputs."""
_SCALE_TOLERANCE = 0.05
_PLAUSIBLE_UM_PER_PX = (0.05, 30.0)


def checked(
  array_positions: Num[np.ndarray, "spot 2"] | None,
  positions_px: Float[np.ndarray, "spot 2"],
  image: SlideImage | None,
  um_per_px: float,
  *,
  file: Path,
  platform: str = "",
  said: str = "",
) -> tuple[str, ...]:
  """What a careful user should know of how spots lie; positions are pixels of the image.

  Args:
    array_positions: (row, column); None where there is no array.
    um_per_px: micrometres a pixel of the image.
    file: that the positions came from, for messages.
    platform: tells whether the array is known not to be mirrored.
    said: `AS_IS` to hear as a note what else is refused.

  Raises:
    BadInputError: neighbours lie apart, the array is mirrored, the image is blank or another one's.
  """
  notes: tuple[str, ...] = ()
  believed = said == AS_IS
  fit = None if array_positions is None else array_fit.fitted(array_positions, positions_px)
  if fit is not None:
    notes += _heard(lambda: array_fit.check_neighbours(fit, array_positions, file), believed)
    mirrored = platform in _MIRRORED
    if mirrored or platform in PRINTED or _is_hexagonal(array_positions):
      harmless = believed or image is None
      notes += _heard(lambda: array_fit.check_handedness(fit, mirrored, file), harmless)
    notes += array_fit.notes_on(fit)
  if image is not None:
    notes += _heard(lambda: on_tissue.checked(image, positions_px, file), believed)
    notes += _heard(lambda: _scale_checked(image, um_per_px), believed)
  return notes


def _heard(check: Callable[[], tuple[str, ...] | None], harmless: bool) -> tuple[str, ...]:
  try:
    return check() or ()
  except BadInputError as problem:
    if not harmless:
      raise
    return (f"{problem.field}: {problem.found}; taken as it is",)


def _is_hexagonal(array_positions: Num[np.ndarray, "spot 2"]) -> bool:
  """Rows of Visium are shifted by half a spot, and columns count half spots."""
  rows, columns = array_positions.T
  return lattice.is_checkerboard(rows, columns) and len(set((rows % 2).tolist())) > 1


def _scale_checked(image: SlideImage, um_per_px: float) -> tuple[str, ...]:
  """What the image states of its scale, beside the scale that is used.

  Raises:
    BadInputError: its scanner states another one.
  """
  stated = image.stated_um_per_px()
  low, high = _PLAUSIBLE_UM_PER_PX
  if stated is None or not low <= stated.across <= high:
    return ()
  uneven = abs(stated.down / stated.across - 1) > 0.01
  notes = (f"pixels are {stated.across:.4g} x {stated.down:.4g} um by {stated.source}",)
  if abs(stated.across / um_per_px - 1) <= _SCALE_TOLERANCE:
    return notes if uneven else ()
  if stated.is_made_up_often:
    return (f"{um_per_px:.4g} um a pixel is used, not {stated.across:.4g} by {stated.source}",)
  raise BadInputError(
    image.path,
    "micrometres per pixel",
    f"{stated.across:.4g} by {stated.source} beside {um_per_px:.4g} by the positions",
    "the same length by both",
    f"give image_scale ({um_per_px / stated.across:.4g} times what it is now), or, if what the "
    f"file states is wrong, say as_is, in {array_fit.SAY}",
  )
