"""A handle on a section's H&E image: opened late, decoded once, never kept."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import struct
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from data_pipelines.problems import BadInputError

MAX_PIXELS = 2_000_000_000
"""An H&E slide at 0.25 um per pixel stays below this; a decompression bomb need not."""

_FORMATS = ("PNG", "JPEG", "TIFF")
_EXIF_ORIENTATION = 0x0112
_X_RESOLUTION, _RESOLUTION_UNIT = 282, 296  # tags of TIFF
_UM_PER_UNIT = {2: 25_400.0, 3: 10_000.0}  # inch, centimetre


@dataclasses.dataclass(frozen=True)
class SlideImage:
  """An image file of known size; pixels are read only inside `pixels()`.

  Attributes:
    path: PNG, JPEG or TIFF file.
    width_px: width in pixels.
    height_px: height in pixels.
    kind: which image of the section this is: "full", "hires" or "lowres".
    rotated_by_tag: the file asks viewers to turn it (EXIF orientation). Pixels are read as stored.
  """

  path: Path
  width_px: int
  height_px: int
  kind: str = "full"
  rotated_by_tag: bool = False

  @classmethod
  def open(cls, path: str | os.PathLike, kind: str = "full") -> SlideImage:
    """Reads the header only.

    Raises:
      BadInputError: the file is missing, is no image, or declares an absurd number of pixels.
    """
    path = Path(path)
    with _opened(path) as image:
      width, height = image.size
      # Pillow decodes a whole PNG in search of a tag; microscopes write JPEG and TIFF.
      tags = image.getexif() if image.format != "PNG" else {}
      rotated = tags.get(_EXIF_ORIENTATION, 1) not in (0, 1)
    if width * height > MAX_PIXELS:
      raise BadInputError(
        path,
        "size",
        f"{width} x {height} px",
        f"at most {MAX_PIXELS:,} pixels",
        "crop or downscale the image, then point to the smaller file",
      )
    return cls(path, width, height, kind, rotated)

  def holds(self, positions_px: Float[np.ndarray, "spot 2"]) -> Bool[np.ndarray, " spot"]:
    """Positions that lie on the image."""
    x, y = positions_px.T
    return (x >= 0) & (x < self.width_px) & (y >= 0) & (y < self.height_px)

  def pixels(self) -> UInt8[np.ndarray, "height width 3"]:
    """Decodes the whole image to 8-bit RGB; transparent pixels become white. Keep no reference.

    Raises:
      BadInputError: the file is truncated or is not brightfield (more than 8 bits a colour).
    """
    return np.asarray(self._decoded())

  def crops(
    self, centres_px: Float[np.ndarray, "spot 2"], size_px: float, out_px: int
  ) -> Iterator[UInt8[np.ndarray, "out out 3"]]:
    """Square patches of `size_px` image pixels around each centre, resampled to `out_px`."""
    return (patch for (patch,) in self.views(centres_px, [(size_px, out_px)]))

  def views(
    self, centres_px: Float[np.ndarray, "spot 2"], sizes: Sequence[tuple[float, int]]
  ) -> Iterator[tuple[UInt8[np.ndarray, "out out 3"], ...]]:
    """Square patches around each centre, one for each of `sizes`: image pixels, resampled to.

    The image is decoded once and released when the iterator ends. Outside the image is white.
    """
    image = self._decoded()
    for x, y in centres_px.tolist():
      boxes = ((x - s / 2, y - s / 2, x - s / 2 + s, y - s / 2 + s) for s, _ in sizes)
      yield tuple(
        np.asarray(_crop_on_white(image, box, out_px))
        for box, (_, out_px) in zip(boxes, sizes, strict=True)
      )

  def thumbnail(self, longest_px: int) -> UInt8[np.ndarray, "height width 3"]:
    """The whole image, downscaled so that its longest side is at most `longest_px`."""
    image = self._decoded(at_least_px=2 * longest_px)
    image.thumbnail((longest_px, longest_px), Image.Resampling.BOX, reducing_gap=2.0)
    return np.asarray(image)

  def stated_um_per_px(self) -> float | None:
    """Micrometres per pixel by the resolution tags of a TIFF; None where it has none.

    Other formats carry a number that programs make up, mostly 72 an inch.
    """
    with _opened(self.path) as image:
      tags = getattr(image, "tag_v2", {})
      unit_um = _UM_PER_UNIT.get(tags.get(_RESOLUTION_UNIT, 2))
      try:
        resolution = float(tags[_X_RESOLUTION])
      except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return unit_um / resolution if unit_um and resolution > 0 else None

  def _decoded(self, at_least_px: int | None = None) -> Image.Image:
    """The image in RGB; a JPEG comes at a fraction of its size where that is enough."""
    with _opened(self.path) as image:
      try:
        if at_least_px is not None:
          image.draft("RGB", (at_least_px, at_least_px))
        return _to_rgb(image)
      except (OSError, SyntaxError, ValueError, struct.error) as error:
        raise BadInputError(
          self.path,
          "pixels",
          f"damaged image data ({error})",
          "a complete PNG, JPEG or TIFF",
          "copy the file again from its source",
        ) from error


@dataclasses.dataclass(frozen=True)
class ArrayImage(SlideImage):
  """An image that another file holds as an array, e.g. `uns["spatial"]` of an AnnData.

  Attributes:
    load: reads the array: height x width x 3 or 4, 8-bit, or floats from 0 to 1.
    inside: name of the array in the file; empty where it lies in memory.
  """

  load: Callable[[], np.ndarray] = dataclasses.field(default=None, repr=False)
  inside: str = ""

  @classmethod
  def of(
    cls, path: str | os.PathLike, shape: tuple[int, ...], kind: str, load, inside: str = ""
  ) -> ArrayImage:
    """The handle on an array of this shape.

    Raises:
      BadInputError: the shape is none of an RGB image.
    """
    if len(shape) != 3 or shape[2] not in (3, 4) or not shape[0] * shape[1]:
      raise BadInputError(
        path,
        f"image {kind}",
        f"an array of shape {tuple(shape)}",
        "height x width x 3, RGB",
        "store the H&E image in colour, or name its file",
      )
    return cls(Path(path), int(shape[1]), int(shape[0]), kind, load=load, inside=inside)

  def _decoded(self, at_least_px: int | None = None) -> Image.Image:
    pixels = np.asarray(self.load())
    if pixels.dtype.kind == "f":
      pixels = np.round(np.clip(np.nan_to_num(pixels), 0.0, 1.0) * 255.0)
    return _to_rgb(Image.fromarray(np.ascontiguousarray(pixels.astype(np.uint8))))


def _to_rgb(image: Image.Image) -> Image.Image:
  if image.mode in ("I", "F"):
    raise ValueError("more than 16 bits per pixel: not a brightfield image")
  if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
    rgba = image.convert("RGBA")
    background = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(background, rgba).convert("RGB")
  if image.mode.startswith("I;16"):
    grey = (np.asarray(image) >> 8).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")
  image.load()
  return image if image.mode == "RGB" else image.convert("RGB")


def _crop_on_white(image: Image.Image, box: tuple, out_px: int) -> Image.Image:
  left, top, right, bottom = box
  if left < 0 or top < 0 or right > image.width or bottom > image.height:
    x0, y0 = int(np.floor(left)) - 1, int(np.floor(top)) - 1
    x1, y1 = int(np.ceil(right)) + 1, int(np.ceil(bottom)) + 1
    canvas = Image.new("RGB", (x1 - x0, y1 - y0), "white")
    inside = (max(x0, 0), max(y0, 0), min(x1, image.width), min(y1, image.height))
    if inside[0] < inside[2] and inside[1] < inside[3]:
      canvas.paste(image.crop(inside), (inside[0] - x0, inside[1] - y0))
    image, box = canvas, (left - x0, top - y0, right - x0, bottom - y0)
  shrinks = box[2] - box[0] > out_px
  resample = Image.Resampling.BOX if shrinks else Image.Resampling.BICUBIC
  return image.resize((out_px, out_px), resample, box=box)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
  if not path.is_file():
    raise BadInputError(
      path,
      "image",
      "no such file",
      "a PNG, JPEG or TIFF image",
      "correct the path, or leave the image out for an expression-only section",
    )
  try:
    with warnings.catch_warnings():
      # We set our own, higher, limit: whole-slide images exceed Pillow's.
      warnings.simplefilter("ignore", Image.DecompressionBombWarning)
      limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MAX_PIXELS
      try:
        image = Image.open(path, formats=_FORMATS)
      finally:
        Image.MAX_IMAGE_PIXELS = limit
  except (OSError, Image.DecompressionBombError, struct.error) as error:
    raise BadInputError(
      path,
      "image",
      f"not readable ({error})",
      "a PNG, JPEG or TIFF image",
      "convert it to PNG, JPEG or TIFF",
    ) from error
  with image:
    yield image
