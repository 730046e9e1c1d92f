"""A handle on a section's H&E image: opened late, decoded once, never kept.

A tiled TIFF and a scanner's slide are decoded part by part, in bounded memory; everything else as a
whole.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import gzip
import io
import os
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from data_pipelines import pixels, scanner_slide, stated_scale
from data_pipelines.problems import BadInputError
from data_pipelines.scanner_slide import ScannerSlide
from data_pipelines.stated_scale import Stated
from data_pipelines.text_files import recognise
from data_pipelines.tiled_image import DAMAGE, TiledImage, is_tiled

MAX_PIXELS = 2_000_000_000
"""What may be decoded as a whole; a decompression bomb need not stay below."""
_MAX_TILED_PIXELS = 50_000_000_000
"""What may be read tile by tile: a slide of 25 x 75 mm at 0.25 um a pixel has 30 billion."""

_AHEAD_BYTES = 128 << 20
"""Patches of a tiled image that are cut in the order of its tiles before they are handed over."""

_FORMATS = ("PNG", "JPEG", "TIFF")
_EXIF_ORIENTATION = 0x0112
_TURN_BACK = {
  2: Image.Transpose.FLIP_LEFT_RIGHT,
  3: Image.Transpose.ROTATE_180,
  4: Image.Transpose.FLIP_TOP_BOTTOM,
  5: Image.Transpose.TRANSPOSE,
  6: Image.Transpose.ROTATE_90,
  7: Image.Transpose.TRANSVERSE,
  8: Image.Transpose.ROTATE_270,
}
"""From what Pillow makes of a TIFF with this orientation to the pixels as they are stored."""

_UNPACKED_BYTES = 1 << 30
"""Of a gzipped image, which comes into memory as a whole."""


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
    if path.is_file() and scanner_slide.reads(path):
      with contextlib.closing(ScannerSlide(path)) as slide:
        return cls(path, slide.width, slide.height, kind)
    with _opened(path) as image, _explained(path):
      width, height = image.size
      if _turned_by_pillow(image) >= 5:
        width, height = height, width
      rotated = _asks_to_be_turned(image)
      pixels.check_pages(image)
      if not is_tiled(image):
        _check_size(path, (width, height))
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
    with self._readable() as image:
      if isinstance(image, Image.Image):
        yield from (_view(image, centre, sizes) for centre in centres_px.tolist())
        return
      ahead = max(1, _AHEAD_BYTES // sum(3 * out_px**2 for _, out_px in sizes))
      for start in range(0, len(centres_px), ahead):
        centres = centres_px[start : start + ahead]
        order = np.lexsort((centres[:, 0], centres[:, 1] // image.tile_height))
        found = {n: _view(image, centres[n].tolist(), sizes) for n in order.tolist()}
        yield from (found.pop(n) for n in range(len(centres)))

  def is_read_in_parts(self) -> bool:
    """Whether one part of the image can be decoded where another is damaged."""
    if scanner_slide.reads(self.path):
      return True
    with _opened(self.path) as image:
      return self.path.suffix != ".gz" and is_tiled(image)

  def damaged(
    self, centres_px: Float[np.ndarray, "spot 2"], size_px: float
  ) -> Bool[np.ndarray, " spot"]:
    """Which squares around these centres cannot be decoded, of an image that is read in parts."""
    bad = np.zeros(len(centres_px), bool)
    waiting = [np.lexsort(centres_px.T)]
    while waiting:
      spots = waiting.pop()
      try:
        collections.deque(self.crops(centres_px[spots], size_px, 1), maxlen=0)
      except BadInputError:
        if len(spots) > 1:
          waiting += np.array_split(spots, 2)
        else:
          bad[spots] = True
    return bad

  def thumbnail(self, longest_px: int) -> UInt8[np.ndarray, "height width 3"]:
    """The whole image, downscaled so that its longest side is at most `longest_px`."""
    image = self._decoded(at_least_px=2 * longest_px)
    image.thumbnail((longest_px, longest_px), Image.Resampling.BOX, reducing_gap=2.0)
    return np.asarray(image)

  def stated_um_per_px(self) -> Stated | None:
    """Micrometres per pixel as the file states it: by its scanner, by OME, or by the resolution of
    a TIFF, which programs often make up; None where it does not.

    Other formats carry a number that is made up for screens, mostly 72 an inch.
    """
    if scanner_slide.reads(self.path):
      with contextlib.closing(ScannerSlide(self.path)) as slide:
        return slide.um_per_px and Stated(*slide.um_per_px, "the scanner")
    with _opened(self.path) as image:
      return stated_scale.by_tags(getattr(image, "tag_v2", {}))

  @contextlib.contextmanager
  def _readable(self) -> Iterator[Image.Image | TiledImage | ScannerSlide]:
    """Something to crop from: the decoded image, or a file whose parts are decoded as asked."""
    if scanner_slide.reads(self.path):
      with contextlib.closing(ScannerSlide(self.path)) as slide, _explained(self.path):
        yield slide
      return
    with _opened(self.path) as image:
      if self.path.suffix == ".gz" or not is_tiled(image):
        yield self._decoded()
        return
      tiled = TiledImage(self.path, image, pixels.of_image)
      with contextlib.closing(tiled), _explained(self.path):
        yield tiled

  def _decoded(self, at_least_px: int | None = None) -> Image.Image:
    """The image in RGB; a JPEG or a pyramid comes at a fraction of its size where that will do."""
    if scanner_slide.reads(self.path):
      with contextlib.closing(ScannerSlide(self.path)) as slide, _explained(self.path):
        return slide.at_least(at_least_px)
    with _opened(self.path) as image, _explained(self.path), _large_allowed():
      if at_least_px is not None:
        image.draft("RGB", (at_least_px, at_least_px))
        _seek_level(image, at_least_px)
      _check_size(self.path, image.size)
      turn_back = _TURN_BACK.get(_turned_by_pillow(image))
      rgb = self._in_rgb(image)
      return rgb if turn_back is None else rgb.transpose(turn_back)

  def _in_rgb(self, image: Image.Image) -> Image.Image:
    """What is open; of a tiled image, damaged tiles are white."""
    try:
      pixels.check_not_hidden(image)
      return pixels.of_image(image)
    except DAMAGE:
      if self.path.suffix == ".gz" or not is_tiled(image):
        raise
      with contextlib.closing(TiledImage(self.path, image, pixels.of_image)) as tiled:
        return tiled.whole()


@dataclasses.dataclass(frozen=True)
class ArrayImage(SlideImage):
  """An image that another file holds as an array, e.g. `uns["spatial"]` of an AnnData.

  Attributes:
    load: reads the array; see `data_pipelines.pixels` for what is understood.
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
    with _explained(path, f"image {kind}"):
      height, width = pixels.size_of(shape)
    return cls(Path(path), int(width), int(height), kind, load=load, inside=inside)

  def stated_um_per_px(self) -> None:
    """An array states nothing."""

  def is_read_in_parts(self) -> bool:
    return False

  @contextlib.contextmanager
  def _readable(self) -> Iterator[Image.Image]:
    yield self._decoded()

  def _decoded(self, at_least_px: int | None = None) -> Image.Image:
    with _explained(self.path, f"image {self.kind}"):
      return pixels.of_array(np.asarray(self.load()))


def _turned_by_pillow(image: Image.Image) -> int:
  """The orientation that Pillow applies by itself, of TIFFs alone; 1 for none."""
  return image.getexif().get(_EXIF_ORIENTATION, 1) if image.format == "TIFF" else 1


def _seek_level(image: Image.Image, at_least_px: int) -> None:
  """Turns a pyramid to its smallest level of at least this size and the same shape."""
  if image.format != "TIFF":
    return
  width, height = image.size
  best, least = 0, max(width, height)
  for level in range(1, image.n_frames):
    image.seek(level)
    across, down = image.size
    same_shape = abs(across * height / width - down) <= 2
    if same_shape and at_least_px <= max(across, down) < least:
      best, least = level, max(across, down)
  image.seek(best)


@runtime_checkable
class Regions(Protocol):
  """Something of which parts are decoded as they are asked for, as Pillow cuts and resamples."""

  width: int
  height: int
  tile_height: int

  def crop(self, box: tuple[int, int, int, int]) -> Image.Image: ...

  def resize(
    self, size: tuple[int, int], resample: Image.Resampling, box: tuple[float, ...]
  ) -> np.ndarray: ...


def _view(
  image: Image.Image | Regions,
  centre: list[float],
  sizes: Sequence[tuple[float, int]],
) -> tuple[UInt8[np.ndarray, "out out 3"], ...]:
  x, y = centre
  boxes = ((x - s / 2, y - s / 2, x - s / 2 + s, y - s / 2 + s) for s, _ in sizes)
  return tuple(
    _crop_on_white(image, box, out_px) for box, (_, out_px) in zip(boxes, sizes, strict=True)
  )


def _crop_on_white(
  image: Image.Image | Regions, box: tuple[float, ...], out_px: int
) -> UInt8[np.ndarray, "out out 3"]:
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
  return np.asarray(image.resize((out_px, out_px), resample, box=box))


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
  recognise(path)
  try:
    with _large_allowed():
      packed = path.suffix.lower() == ".gz"
      image = Image.open(_unpacked(path) if packed else path, formats=_FORMATS)
  except (OSError, EOFError, zlib.error, Image.DecompressionBombError, struct.error) as error:
    raise BadInputError(
      path,
      "image",
      f"not readable ({error})",
      "a PNG, JPEG or TIFF image",
      "convert it to PNG, JPEG or TIFF",
    ) from error
  with image:
    yield image


@contextlib.contextmanager
def _large_allowed() -> Iterator[None]:
  """Sets our own limit, higher than Pillow's, which whole-slide images exceed."""
  with warnings.catch_warnings():
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, _MAX_TILED_PIXELS
    try:
      yield
    finally:
      Image.MAX_IMAGE_PIXELS = limit


def _check_size(path: Path, size: tuple[int, int]) -> None:
  """
  Raises:
    BadInputError: too many pixels to be decoded at once.
  """
  if size[0] * size[1] > MAX_PIXELS:
    raise BadInputError(
      path,
      "size",
      f"{size[0]} x {size[1]} px in one piece",
      f"at most {MAX_PIXELS:,} pixels, or a tiled TIFF with smaller levels",
      f"vips tiffsave {path.name} slide.tif --tile --pyramid --compression jpeg --bigtiff",
    )


def _unpacked(path: Path) -> io.BytesIO:
  """What a gzipped file holds.

  Raises:
    BadInputError: more than fits comfortably into memory.
  """
  with gzip.open(path) as stream:
    data = stream.read(_UNPACKED_BYTES + 1)
  if len(data) > _UNPACKED_BYTES:
    raise BadInputError(
      path, "image", f"more than {_UNPACKED_BYTES:,} bytes when unpacked", "a smaller image",
      f"gunzip {path.name}, and name the unpacked file",
    )  # fmt: skip
  return io.BytesIO(data)


@contextlib.contextmanager
def _explained(path: str | os.PathLike, field: str = "pixels") -> Iterator[None]:
  """Damaged data and unusable pixels as problems of this file."""
  try:
    yield
  except pixels.UnusablePixels as problem:
    raise BadInputError(path, field, problem.found, problem.expected, problem.fix) from problem
  except DAMAGE as error:
    if isinstance(error, BadInputError):
      raise
    raise BadInputError(
      path,
      field,
      f"damaged image data ({error})",
      "a complete PNG, JPEG or TIFF",
      "copy the file again from its source",
    ) from error


def _asks_to_be_turned(image: Image.Image) -> bool:
  # Pillow decodes a whole PNG in search of a tag behind the pixels; one before them is known.
  tags = image.getexif() if image.format != "PNG" or "exif" in image.info else {}
  return tags.get(_EXIF_ORIENTATION, 1) not in (0, 1)
