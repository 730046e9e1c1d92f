"""Slides in tiles: the same patches as of the whole image, without decoding it."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from data_pipelines import tiled_image
from data_pipelines.problems import BadInputError
from data_pipelines.slide_image import SlideImage
from experiments.benchmarks.crops import write_tiled

TILE = 32


@pytest.fixture
def pixels():
  small = np.random.default_rng(0).integers(0, 256, (12, 18, 3), np.uint8)
  return np.asarray(Image.fromarray(small).resize((150, 100), Image.Resampling.BICUBIC))


@pytest.fixture
def slide(tmp_path, pixels):
  write_tiled(tmp_path / "slide.tiff", [pixels], TILE)
  return SlideImage.open(tmp_path / "slide.tiff")


@pytest.fixture
def counted(monkeypatch):
  """Numbers of the tiles that are decoded."""
  seen, decode = [], tiled_image.TiledImage._decoded
  monkeypatch.setattr(
    tiled_image.TiledImage, "_decoded", lambda own, n: (seen.append(n), decode(own, n))[1]
  )
  return seen


def centres(spots=40):
  """Spots on the image and around it, in no order."""
  return np.random.default_rng(1).uniform((-20, -20), (170, 120), (spots, 2))


@pytest.mark.parametrize("sizes", [[(16.0, 16)], [(40.0, 16), (11.5, 16)]])
def test_patches_are_those_of_the_whole_image_in_the_order_of_the_spots(slide, sizes):
  whole = Image.fromarray(slide.pixels())
  whole.save(slide.path.with_suffix(".png"))
  want = list(SlideImage.open(slide.path.with_suffix(".png")).views(centres(), sizes))
  for got, patches in zip(slide.views(centres(), sizes), want, strict=True):
    for one, other in zip(got, patches, strict=True):
      assert np.abs(one.astype(int) - other.astype(int)).max() <= 1  # rounding of resampling


def test_each_tile_is_decoded_once_and_only_if_a_patch_lies_on_it(slide, counted):
  list(slide.crops(np.array([[40.0, 40.0], [140.0, 90.0], [42.0, 41.0]]), 12.0, 12))
  assert sorted(counted) == [6, 14]


def test_little_memory_changes_no_patch(slide, monkeypatch):
  want = list(slide.crops(centres(), 24.0, 16))
  monkeypatch.setattr(tiled_image, "_KEPT_BYTES", 0)
  monkeypatch.setattr("data_pipelines.slide_image._AHEAD_BYTES", 5 * 3 * 16 * 16)
  np.testing.assert_array_equal(list(slide.crops(centres(), 24.0, 16)), want)


@pytest.mark.parametrize("compression", [1, 8])
def test_tiles_of_any_compression_are_read_as_pillow_reads_them(tmp_path, pixels, compression):
  path = tmp_path / "slide.tiff"
  path.write_bytes(plain_tiff(pixels[:64, :96], compression))
  slide = SlideImage.open(path)
  np.testing.assert_array_equal(slide.pixels(), pixels[:64, :96])
  (patch,) = slide.crops(np.array([[48.0, 32.0]]), 40.0, 40)
  np.testing.assert_array_equal(patch, pixels[12:52, 28:68])


def plain_tiff(pixels, compression):
  """A tiled TIFF as other programs write it: big-endian, without JPEG."""
  height, width = pixels.shape[:2]
  tiles = [
    np.ascontiguousarray(pixels[y : y + TILE, x : x + TILE]).tobytes()
    for y in range(0, height, TILE)
    for x in range(0, width, TILE)
  ]
  tiles = [zlib.compress(tile) if compression == 8 else tile for tile in tiles]
  offsets = 8 + np.cumsum([0, *map(len, tiles)])
  data = b"".join(tiles)
  data += b"\0" * (len(data) % 2)
  place = 8 + len(data)
  entries = [
    (256, 4, [width]), (257, 4, [height]), (258, 3, [8, 8, 8]), (259, 3, [compression]),
    (262, 3, [2]), (277, 3, [3]), (322, 4, [TILE]), (323, 4, [TILE]),
    (324, 4, offsets[:-1].tolist()), (325, 4, [*map(len, tiles)]),
  ]  # fmt: skip
  ifd, behind = io.BytesIO(), io.BytesIO()
  ifd.write(struct.pack(">H", len(entries)))
  after = place + 2 + 12 * len(entries) + 4
  for tag, kind, values in entries:
    packed = struct.pack(f">{len(values)}{'H' if kind == 3 else 'L'}", *values)
    if len(packed) > 4:
      field = struct.pack(">L", after + behind.tell())
      behind.write(packed)
    else:
      field = packed.ljust(4, b"\0")
    ifd.write(struct.pack(">HHL", tag, kind, len(values)) + field)
  ifd.write(struct.pack(">L", 0))
  return b"MM" + struct.pack(">HL", 42, place) + data + ifd.getvalue() + behind.getvalue()


def test_a_thumbnail_comes_from_the_smallest_level_that_will_do(tmp_path, pixels):
  levels = [np.full((s, s, 3), value, np.uint8) for s, value in ((128, 10), (64, 90), (32, 200))]
  write_tiled(tmp_path / "pyramid.tiff", levels, TILE)
  slide = SlideImage.open(tmp_path / "pyramid.tiff")
  assert (slide.width_px, slide.height_px) == (128, 128)
  for longest_px, value in ((40, 10), (30, 90), (10, 200)):
    assert abs(int(slide.thumbnail(longest_px).mean()) - value) <= 2
  (patch,) = slide.crops(np.array([[64.0, 64.0]]), 8.0, 8)
  assert abs(int(patch.mean()) - 10) <= 2


def test_a_damaged_tile_is_one_clear_line_and_the_others_can_be_read(slide):
  data = bytearray(slide.path.read_bytes())
  start = data.index(b"\xff\xda") + 40  # within the pixels of the first tile
  data[start : start + 60] = b"\xff" * 60
  slide.path.write_bytes(bytes(data))
  assert len(list(slide.crops(np.array([[100.0, 80.0]]), 8.0, 8))) == 1
  with pytest.raises(BadInputError, match="pixels: found damaged image data"):
    list(slide.crops(np.array([[5.0, 5.0]]), 8.0, 8))
