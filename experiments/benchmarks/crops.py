"""C8: patches of 1,000 spots of a tiled slide, against decoding it whole and against OpenSlide.

python -m experiments.benchmarks.crops
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import simplejpeg
from jaxtyping import UInt8
from PIL import Image, TiffImagePlugin

from data_pipelines.slide_image import MAX_PIXELS, SlideImage
from experiments.benchmarks import side_by_side
from experiments.benchmarks.side_by_side import Case, Pair

SPOTS, PATCH, TILE, PITCH = 1_000, 224, 256, 200
_JPEG, _YCBCR, _LONG = 7, 6, 4
_FOLDER = tempfile.TemporaryDirectory()


def write_tiled(path: Path, levels: Sequence[UInt8[np.ndarray, "height width 3"]], tile: int):
  """A pyramid as microscopes write it: each level in tiles of JPEG, whose tables are shared."""
  with path.open("wb") as file:
    file.write(b"II*\0\0\0\0\0")
    link = 4
    for pixels in levels:
      tables, tiles = _encoded(pixels, tile)
      offsets = []
      for data in tiles:
        offsets.append(file.tell())
        file.write(data)
      place = file.tell() + file.tell() % 2
      height, width = pixels.shape[:2]
      tags = {256: width, 257: height, 258: (8, 8, 8), 259: _JPEG, 262: _YCBCR, 277: 3, 322: tile,
              323: tile, 324: tuple(offsets), 325: tuple(map(len, tiles)), 347: tables,
              530: (2, 2)}  # fmt: skip
      ifd = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
      for tag, value in tags.items():
        ifd.tagtype[tag] = 7 if tag == 347 else 3 if tag in (258, 259, 262, 277, 530) else _LONG
        ifd[tag] = value
      file.seek(link)
      file.write(place.to_bytes(4, "little"))
      file.seek(place)
      file.write(ifd.tobytes(place))
      link = place + 2 + 12 * len(tags)


def _encoded(pixels: np.ndarray, tile: int) -> tuple[bytes, list[bytes]]:
  """The tables that all tiles share, and the tiles without them."""
  height, width = pixels.shape[:2]
  padded = np.pad(pixels, ((0, -height % tile), (0, -width % tile), (0, 0)), mode="edge")
  tables, tiles = b"", []
  for y in range(0, height, tile):
    for x in range(0, width, tile):
      part = np.ascontiguousarray(padded[y : y + tile, x : x + tile])
      tables, data = _parted(simplejpeg.encode_jpeg(part, 90, colorsubsampling="420"))
      tiles.append(data)
  return b"\xff\xd8" + tables + b"\xff\xd9", tiles


def _parted(jpeg: bytes) -> tuple[bytes, bytes]:
  """(tables, the rest) of a JPEG: segments of quantisation and of Huffman codes, and the others."""
  tables, rest, place = b"", jpeg[:2], 2
  while jpeg[place + 1] != 0xDA:  # start of scan
    end = place + 2 + int.from_bytes(jpeg[place + 2 : place + 4], "big")
    if jpeg[place + 1] in (0xDB, 0xC4):
      tables += jpeg[place:end]
    elif jpeg[place + 1] != 0xE0:  # TIFF says what JFIF would
      rest += jpeg[place:end]
    place = end
  return tables, rest + jpeg[place:]


@functools.cache
def _slide(quick: bool) -> tuple[Path, np.ndarray]:
  """A slide of 92 megapixels, and spots 100 um apart at 0.5 um a pixel, in the middle of it."""
  side = 1_280 if quick else 9_600
  rng = np.random.default_rng(0)
  small = rng.integers(120, 255, (side // 8, side // 8, 3), np.uint8)
  pixels = np.asarray(Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC))
  path = Path(_FOLDER.name) / f"{side}.tiff"
  write_tiled(path, [pixels], TILE)
  across = 5 if quick else int(np.ceil(np.sqrt(SPOTS)))
  row, column = np.divmod(np.arange(min(SPOTS, across**2)), across)
  first = (side - PITCH * (across - 1)) // 2
  return path, np.stack([column, row], 1) * PITCH + first


def _ours(path: Path, centres: np.ndarray) -> np.ndarray:
  return np.stack(list(SlideImage.open(path).crops(centres.astype(float), float(PATCH), PATCH)))


def _pillow(path: Path, centres: np.ndarray) -> np.ndarray:
  Image.MAX_IMAGE_PIXELS = MAX_PIXELS
  with Image.open(path) as image:
    pixels = np.asarray(image)
  corners = (centres - PATCH // 2).tolist()
  return np.stack([pixels[y : y + PATCH, x : x + PATCH] for x, y in corners])


def _openslide(path: Path, centres: np.ndarray) -> np.ndarray:
  import openslide

  corners = (centres - PATCH // 2).tolist()
  with openslide.OpenSlide(path) as slide:
    return np.stack([
      np.asarray(slide.read_region((x, y), 0, (PATCH, PATCH)))[..., :3] for x, y in corners
    ])  # fmt: skip


def _against(peer: Callable[[Path, np.ndarray], np.ndarray]) -> Callable[[bool], Pair]:
  def both(quick: bool) -> Pair:
    slide = _slide(quick)
    return functools.partial(_ours, *slide), functools.partial(peer, *slide)

  return both


def _same_pixels(ours: np.ndarray, theirs: np.ndarray) -> None:
  worst = np.abs(ours.astype(int) - theirs.astype(int)).max()
  assert worst <= 2, f"pixels differ by {worst}"  # decoders round colours each in its way


CASES = (
  Case(
    "C8 1,000 crops of a tiled slide", "Pillow, whole", goal=2.0, of=_against(_pillow),
    same=_same_pixels,
  ),
  Case(
    "C8 1,000 crops of a tiled slide, OpenSlide", "OpenSlide", goal=4.0, of=_against(_openslide),
    same=_same_pixels, needs=("openslide",),
  ),
)  # fmt: skip

if __name__ == "__main__":
  side_by_side.run(__doc__, CASES)
