"""A slide of which only square patches are left, as HEST-1k hands out its samples.

The patches lie on white where the slide had them, in pixels as the patches have them; whatever is
asked for is put together of those that it touches.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image

from data_pipelines.hdf5_safety import checked_file, open_hdf5
from data_pipelines.problems import BadInputError
from data_pipelines.slide_image import ArrayImage

PIXELS, CORNERS = "img", "coords"
KIND = "patches"
_MARGIN = 3
"""Pixels around a box that resampling by a cubic reads."""


@dataclasses.dataclass(frozen=True)
class PatchImage(ArrayImage):
  """The patches of a file as one image.

  Attributes:
    scale: its pixels per pixel of the slide, in which the file gives corners.
  """

  scale: float = 1.0

  @classmethod
  def of_file(cls, path: Path, scale: float, size: tuple[int, int]) -> PatchImage:
    """Looks whether there are patches, and reads none of them.

    Args:
      size: width and height of the image, which may be wider than what the patches cover.

    Raises:
      BadInputError: the file has no such patches.
    """
    with open_hdf5(path) as file:
      corners_of(file, path)
    return cls(path, *size, KIND, inside=PIXELS, scale=scale)

  @contextlib.contextmanager
  def _readable(self) -> Iterator[_Mosaic]:
    with contextlib.closing(checked_file(self.path)) as file:
      yield _Mosaic(file, self)

  def _decoded(self, at_least_px: int | None = None) -> Image.Image:
    longest = max(self.width_px, self.height_px)
    shrink = 1 if at_least_px is None else max(1, longest // at_least_px)
    with self._readable() as mosaic:
      return mosaic.whole(shrink)


def corners_of(file: h5py.File, path: Path) -> tuple[Float[np.ndarray, "patch 2"], int]:
  """(x, y) of each patch's top left corner in pixels of the slide, and the side of all of them in
  pixels of their own.

  Raises:
    BadInputError: no patches of 8-bit RGB, or not a corner for each.
  """
  shape, kind = getattr(file.get(PIXELS), "shape", None), getattr(file.get(PIXELS), "dtype", None)
  if shape is None or len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3 or kind != np.uint8:
    found = "nothing" if shape is None else f"an array of shape {shape}, {kind}"
    raise BadInputError(
      path, PIXELS, found, "patch x side x side x 3, 8-bit RGB", "copy the file again"
    )
  corners = np.asarray(file[CORNERS][()]) if CORNERS in file else np.zeros(0)
  if corners.shape != (shape[0], 2) or not shape[0] or corners.dtype.kind not in "iuf":
    raise BadInputError(
      path, CORNERS, f"an array of shape {corners.shape}",
      f"{shape[0]} x 2, a corner for each patch", "copy the file again",
    )  # fmt: skip
  return corners.astype(np.float64), int(shape[1])


class _Mosaic:
  """What `SlideImage` crops from, while the file is open."""

  def __init__(self, file: h5py.File, image: PatchImage):
    corners, self.tile_height = corners_of(file, image.path)
    self.width, self.height = image.width_px, image.height_px
    self._corners = np.round(corners * image.scale).astype(np.int64)
    self._pixels = file[PIXELS]

  def crop(self, box: tuple[int, int, int, int]) -> Image.Image:
    """The pixels of a box; the patch whose centre is nearest to the box's lies on top."""
    left, top, right, bottom = box
    canvas = Image.new("RGB", (right - left, bottom - top), "white")
    for row in self._touched(box):
      x, y = self._corners[row].tolist()
      canvas.paste(Image.fromarray(self._pixels[row]), (x - left, y - top))
    return canvas

  def resize(
    self, size: tuple[int, int], resample: Image.Resampling, box: tuple[float, ...]
  ) -> UInt8[np.ndarray, "height width 3"]:
    """A box, resampled as Pillow does."""
    left, top = (int(np.floor(edge)) - _MARGIN for edge in box[:2])
    right, bottom = (int(np.ceil(edge)) + _MARGIN for edge in box[2:])
    near = tuple(edge - shift for edge, shift in zip(box, (left, top) * 2, strict=True))
    return np.asarray(self.crop((left, top, right, bottom)).resize(size, resample, box=near))

  def whole(self, shrink: int) -> Image.Image:
    """Every patch, at a fraction of its size."""
    side = max(1, self.tile_height // shrink)
    canvas = Image.new("RGB", (-(-self.width // shrink), -(-self.height // shrink)), "white")
    for row, corner in enumerate(self._corners // shrink):
      patch = Image.fromarray(self._pixels[row])
      canvas.paste(patch.resize((side, side), Image.Resampling.BOX), tuple(corner.tolist()))
    return canvas

  def _touched(self, box: tuple[int, int, int, int]) -> Int[np.ndarray, " patch"]:
    low, high = np.array(box[:2]) - self.tile_height, np.array(box[2:])
    rows = np.flatnonzero(((self._corners > low) & (self._corners < high)).all(axis=1))
    away = np.abs(self._corners[rows] + self.tile_height / 2 - (low + self.tile_height + high) / 2)
    return rows[np.argsort(-away.sum(axis=1), kind="stable")]
