"""The length of a pixel as an image file states it: often missing, and often of another image."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

_DESCRIPTION, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 270, 282, 283, 296  # tags of TIFF
_UM_PER_UNIT = {2: 25_400.0, 3: 10_000.0}  # inch, centimetre
_OME = re.compile(r'PhysicalSize([XY])="([\d.eE+-]+)"(?=[^>]*)')
_OME_UNIT = re.compile(r'PhysicalSizeXUnit="([^"]*)"')
_OME_UM = {"": 1.0, "µm": 1.0, "um": 1.0, "micron": 1.0, "nm": 1e-3, "mm": 1e3, "pixel": 0.0}
_MADE_UP = "resolution in the TIFF"
_APERIO = re.compile(r"\bMPP\s*=\s*([\d.]+)")


class Stated(NamedTuple):
  """Micrometres per pixel as an image file states it, and who says so."""

  across: float
  down: float
  source: str

  @property
  def is_made_up_often(self) -> bool:
    return self.source == _MADE_UP


def by_tags(tags: Mapping[int, Any]) -> Stated | None:
  """Of a TIFF: in words by OME or an Aperio scanner, else by its resolution; None without any."""
  return _in_words(str(tags.get(_DESCRIPTION, ""))) or _resolution(tags)


def _in_words(description: str) -> Stated | None:
  """By OME-XML, or by the text of an Aperio scanner."""
  if found := _APERIO.search(description):
    return Stated(float(found[1]), float(found[1]), "the scanner")
  sizes = {axis: float(value) for axis, value in _OME.findall(description)}
  unit = _OME_UNIT.search(description)
  um = _OME_UM.get(unit[1] if unit else "", 0.0)
  if "X" not in sizes or not um * sizes["X"] > 0:
    return None
  return Stated(um * sizes["X"], um * sizes.get("Y", sizes["X"]), "OME PhysicalSize")


def _resolution(tags: Mapping[int, Any]) -> Stated | None:
  unit_um = _UM_PER_UNIT.get(tags.get(_RESOLUTION_UNIT, 2))
  try:
    across = float(tags[_X_RESOLUTION])
    down = float(tags.get(_Y_RESOLUTION, across))
  except (KeyError, TypeError, ValueError, ZeroDivisionError):
    return None
  if not unit_um or not across > 0 or not down > 0:
    return None
  return Stated(unit_um / across, unit_um / down, _MADE_UP)
