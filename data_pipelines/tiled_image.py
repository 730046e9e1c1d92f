"""Parts of a tiled TIFF, as whole-slide images are stored, without decoding the rest of it.

A tile is decoded when something of it is asked for, and kept while its neighbours are.
"""

from __future__ import annotations

import collections
import contextlib
import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from jaxtyping import UInt8
from PIL import Image, TiffImagePlugin

_KEPT_BYTES = 200 << 20
"""Decoded tiles: two rows of them across a slide of a hundred thousand pixels."""

_TILE = {"width": 322, "height": 323, "offset": 324, "bytes": 325}
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES = 256, 257, 258, 259, 262, 277
_ORIENTATION, _PLANAR, _JPEG_TABLES = 274, 284, 347
_DECODING = (_BITS, _COMPRESSION, _PHOTOMETRIC, 266, _SAMPLES, _PLANAR, 317, 320, 338, 339,
             _JPEG_TABLES, 530, 532)  # fmt: skip
"""Tags without which a tile cannot be decoded."""

_JPEG = 7
_COLOURS = {2: 0, 6: 1}  # RGB, YCbCr: as TIFF and as Adobe's marker number them
DAMAGE = (OSError, EOFError, SyntaxError, ValueError, struct.error)
"""What decoders raise of data that are none."""
_MARGIN = 3
"""Pixels around a box that resampling by a cubic reads."""


def is_tiled(image: Image.Image) -> bool:
  """Whether it is a TIFF that can be read tile by tile, colours side by side and upright."""
  if image.format != "TIFF":
    return False
  tags = image.tag_v2
  return (
    all(tag in tags for tag in _TILE.values())
    and tags.get(_PLANAR, 1) == 1
    and tags.get(_ORIENTATION, 1) in (0, 1)
    and set(np.atleast_1d(tags.get(_BITS, 1)).tolist()) == {8}  # wider ones are judged as a whole
  )


class TiledImage:
  """The level of a TIFF that Pillow has open, in RGB; it reads from the file until `close`.

  Args:
    image: `is_tiled`; only its header is used.
    to_rgb: what makes RGB of a tile that is stored otherwise.
  """

  def __init__(self, path: Path, image: Image.Image, to_rgb: Callable[[Image.Image], Image.Image]):
    self.width, self.height = image.size
    self._tags: Any = image.tag_v2
    self._to_rgb = to_rgb
    self.tile_width, self.tile_height = self._tags[_TILE["width"]], self._tags[_TILE["height"]]
    self._offsets, self._bytes = (
      np.atleast_1d(self._tags[_TILE[name]]).tolist() for name in ("offset", "bytes")
    )
    self._across = -(-self.width // self.tile_width)
    self._kept: collections.OrderedDict[int, np.ndarray] = collections.OrderedDict()
    self._most = max(4, _KEPT_BYTES // (3 * self.tile_width * self.tile_height))
    self._jpeg_head = _jpeg_head(self._tags)
    self._file = path.open("rb")

  def close(self) -> None:
    self._file.close()

  def crop(self, box: tuple[int, int, int, int]) -> Image.Image:
    """The pixels of a box inside the image: left, top, right, bottom."""
    return Image.fromarray(self._pixels(*box))

  def whole(self) -> Image.Image:
    """Everything, damaged tiles white.

    Raises:
      OSError: no tile can be decoded.
    """
    canvas, read = Image.new("RGB", (self.width, self.height), "white"), 0
    for number in range(len(self._offsets)):
      row, column = divmod(number, self._across)
      with contextlib.suppress(*DAMAGE):
        tile = Image.fromarray(self._decoded(number))
        canvas.paste(tile, (column * self.tile_width, row * self.tile_height))
        read += 1
    if not read:
      raise OSError("no tile can be decoded")
    return canvas

  def resize(
    self, size: tuple[int, int], resample: Image.Resampling, box: tuple[float, ...]
  ) -> UInt8[np.ndarray, "height width 3"]:
    """A box inside the image, resampled as Pillow does."""
    if size == (box[2] - box[0], box[3] - box[1]) and all(edge == int(edge) for edge in box):
      return self._pixels(*map(int, box))
    margin = 0 if resample == Image.Resampling.BOX else _MARGIN
    left, top = (max(int(edge) - margin, 0) for edge in box[:2])
    right, bottom = (
      min(int(np.ceil(edge)) + margin, most)
      for edge, most in zip(box[2:], (self.width, self.height), strict=True)
    )
    near = tuple(edge - shift for edge, shift in zip(box, (left, top) * 2, strict=True))
    return np.asarray(self.crop((left, top, right, bottom)).resize(size, resample, box=near))

  def _pixels(
    self, left: int, top: int, right: int, bottom: int
  ) -> UInt8[np.ndarray, "height width 3"]:
    out = np.empty((bottom - top, right - left, 3), np.uint8)
    for row in range(top // self.tile_height, -(-bottom // self.tile_height)):
      for column in range(left // self.tile_width, -(-right // self.tile_width)):
        x, y = column * self.tile_width, row * self.tile_height
        x0, x1 = max(left, x), min(right, x + self.tile_width)
        y0, y1 = max(top, y), min(bottom, y + self.tile_height)
        tile = self._tile(row * self._across + column)
        out[y0 - top : y1 - top, x0 - left : x1 - left] = tile[y0 - y : y1 - y, x0 - x : x1 - x]
    return out

  def _tile(self, number: int) -> UInt8[np.ndarray, "height width 3"]:
    if number in self._kept:
      self._kept.move_to_end(number)
      return self._kept[number]
    tile = self._decoded(number)
    self._kept[number] = tile
    if len(self._kept) > self._most:
      self._kept.popitem(last=False)
    return tile

  def _decoded(self, number: int) -> UInt8[np.ndarray, "height width 3"]:
    """
    Raises:
      OSError, ValueError, struct.error: the tile is damaged.
    """
    size = self._bytes[number]
    if not size:  # scanners leave out tiles of glass
      return np.full((self.tile_height, self.tile_width, 3), 255, np.uint8)
    self._file.seek(self._offsets[number])
    data = self._file.read(size)
    if len(data) < size:
      raise OSError("the file ends within a tile")
    if self._jpeg_head and data[:2] == self._jpeg_head[:2]:
      tile = simplejpeg.decode_jpeg(self._jpeg_head + data[2:], "RGB")
      if tile.shape[:2] != (self.tile_height, self.tile_width):
        raise ValueError("a tile of another size")
      return tile
    with Image.open(io.BytesIO(self._as_file(data)), formats=("TIFF",)) as image:
      return np.asarray(self._to_rgb(image))

  def _as_file(self, data: bytes) -> bytes:
    """A TIFF of this one tile, for Pillow to decode."""
    ifd = TiffImagePlugin.ImageFileDirectory_v2(prefix=self._tags.prefix)
    for tag in _DECODING:
      if tag in self._tags:
        ifd.tagtype[tag] = self._tags.tagtype[tag]
        ifd[tag] = self._tags[tag]
    size = {_WIDTH: self.tile_width, _HEIGHT: self.tile_height}
    tile = {_TILE["width"]: self.tile_width, _TILE["height"]: self.tile_height,
            _TILE["offset"]: 8, _TILE["bytes"]: len(data)}  # fmt: skip
    for tag, value in {**size, **tile}.items():
      ifd.tagtype[tag] = 4
      ifd[tag] = value
    place = 8 + len(data) + len(data) % 2
    order = "<" if self._tags.prefix == b"II" else ">"
    head = self._tags.prefix + struct.pack(f"{order}HL", 42, place)
    return head + data + b"\0" * (len(data) % 2) + ifd.tobytes(place)


def _jpeg_head(tags: Any) -> bytes:
  """What a tile of colour JPEG lacks: which colours it holds, and the tables that all tiles share.

  Empty where tiles are something else.
  """
  colours = _COLOURS.get(tags.get(_PHOTOMETRIC))
  eight_bits = tags.get(_SAMPLES) == 3 and tags.get(_BITS) == (8, 8, 8)
  if tags.get(_COMPRESSION) != _JPEG or colours is None or not eight_bits:
    return b""
  adobe = b"\xff\xee" + struct.pack(">H5sHHHB", 14, b"Adobe", 100, 0, 0, colours)
  return b"\xff\xd8" + adobe + tags.get(_JPEG_TABLES, b"")[2:-2]
