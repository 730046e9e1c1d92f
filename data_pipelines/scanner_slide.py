"""Whole slides in the formats of scanners, region by region: SVS, NDPI, MRXS and others.

OpenSlide reads them; it is an optional extra.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from data_pipelines import pixels
from data_pipelines.problems import BadInputError

SUFFIXES = (".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".svslide", ".vms", ".vmu")
_PLAIN_TIFF = (".svs", ".svslide")
"""What Pillow may read too: tiled TIFF, where tiles are JPEG."""
_MARGIN = 3
"""Pixels around a box that resampling by a cubic reads."""


def reads(path: Path) -> bool:
  """Whether OpenSlide is to read this file.

  Raises:
    BadInputError: nothing else can, and OpenSlide is not installed.
  """
  suffix = path.suffix.lower()
  if suffix not in SUFFIXES:
    return False
  if importlib.util.find_spec("openslide") is not None:
    return True
  if suffix in _PLAIN_TIFF:
    return False
  raise BadInputError(
    path,
    "image",
    f"a scanner's format ({suffix}) without OpenSlide to read it",
    "the package openslide",
    "pip install 'hibio-st[slides]', or export the slide as a tiled TIFF",
  )


class ScannerSlide:
  """A slide that OpenSlide has open until `close`; regions of it in RGB, transparent as white.

  Raises:
    BadInputError: it is damaged, or no slide.
  """

  tile_height = 1024
  """Patches are cut in stripes of this height, so that neighbouring tiles are still decoded."""

  def __init__(self, path: Path):
    import openslide  # optional

    try:
      self._slide = openslide.OpenSlide(path)
    except openslide.OpenSlideError as error:
      raise BadInputError(
        path, "image", f"not readable by OpenSlide ({error})", "a slide as the scanner wrote it",
        "copy the file again from its source, with the files that belong to it",
      ) from error  # fmt: skip
    self.width, self.height = self._slide.dimensions

  def close(self) -> None:
    self._slide.close()

  @property
  def um_per_px(self) -> tuple[float, float] | None:
    """Across and down, as the scanner states it."""
    try:
      across, down = (float(self._slide.properties[f"openslide.mpp-{axis}"]) for axis in "xy")
    except (KeyError, ValueError):
      return None
    return across, down

  def crop(self, box: tuple[int, int, int, int]) -> Image.Image:
    """The pixels of a box inside the slide: left, top, right, bottom."""
    return self._region(box, level=0)

  def resize(
    self, size: tuple[int, int], resample: Image.Resampling, box: tuple[float, ...]
  ) -> UInt8[np.ndarray, "height width 3"]:
    """A box inside the slide, resampled from the level that is just fine enough."""
    level = self._slide.get_best_level_for_downsample(max((box[2] - box[0]) / size[0], 1.0))
    across, down = (
      full / small
      for full, small in zip(
        (self.width, self.height), self._slide.level_dimensions[level], strict=True
      )
    )
    scaled = (box[0] / across, box[1] / down, box[2] / across, box[3] / down)
    most = self._slide.level_dimensions[level]
    left, top = (max(int(edge) - _MARGIN, 0) for edge in scaled[:2])
    right, bottom = (
      min(int(np.ceil(edge)) + _MARGIN, side) for edge, side in zip(scaled[2:], most, strict=True)
    )
    near = tuple(edge - shift for edge, shift in zip(scaled, (left, top) * 2, strict=True))
    part = self._region((left, top, right, bottom), level, (across, down))
    return np.asarray(part.resize(size, resample, box=near))

  def at_least(self, longest_px: int | None) -> Image.Image:
    """The whole slide, from its smallest level whose longest side is as long; None: the finest."""
    longest = max(self.width, self.height)
    shrink = 1.0 if longest_px is None else max(longest / longest_px, 1.0)
    level = self._slide.get_best_level_for_downsample(shrink)
    return self._region((0, 0, *self._slide.level_dimensions[level]), level)

  def _region(
    self, box: tuple[int, int, int, int], level: int, scale: tuple[float, float] = (1.0, 1.0)
  ) -> Image.Image:
    """
    Raises:
      OSError: a tile is damaged.
    """
    import openslide

    left, top, right, bottom = box
    corner = (round(left * scale[0]), round(top * scale[1]))  # in pixels of the finest level
    try:
      return pixels.of_image(self._slide.read_region(corner, level, (right - left, bottom - top)))
    except openslide.OpenSlideError as error:
      raise OSError(str(error)) from error
