"""Ink, blur, glass and the border under spots: flagged where they are, and nowhere else."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFilter

from data_pipelines import patch_quality
from data_pipelines.prepare import PrepareOptions, prepare
from data_pipelines.problems import BadInputError
from data_pipelines.section import FLAGS
from data_pipelines.slide_image import SlideImage
from experiments.benchmarks.crops import write_tiled
from tests.data_pipelines import hand_made

SIDE_PX = 1000
PLACES = {"sharp": (250, 250), "blurred": (750, 250), "inked": (250, 750), "blank": (750, 750)}


def tissue():
  """Nuclei of 8 um in pink, one pixel a micrometre; each quarter but the first has a fault."""
  rng = np.random.default_rng(0)
  y, x = np.mgrid[:SIDE_PX, :SIDE_PX]
  pixels = np.tile(np.array([225, 170, 205], np.uint8), (SIDE_PX, SIDE_PX, 1))
  for column, row in rng.uniform(0, SIDE_PX, (2500, 2)):
    near = (
      slice(max(int(row) - 4, 0), int(row) + 5),
      slice(max(int(column) - 4, 0), int(column) + 5),
    )
    inside = (y[near] - row) ** 2 + (x[near] - column) ** 2 < 16
    pixels[near][inside] = (110, 70, 150)
  image = Image.fromarray(pixels)
  half = SIDE_PX // 2
  right = image.crop((half, 0, SIDE_PX, half)).filter(ImageFilter.GaussianBlur(3))
  image.paste(right, (half, 0))
  image.paste((60, 140, 110), (0, half, half, SIDE_PX))
  image.paste((244, 243, 245), (half, half, SIDE_PX, SIDE_PX))
  return image


def section_on(path, positions_px, um_per_px=1.0):
  section = hand_made.section("S", "D", rows=6, columns=10)
  section = section.subset(np.arange(len(positions_px)), "")
  return dataclasses.replace(
    section,
    image=SlideImage.open(path),
    um_per_px=um_per_px,
    positions_px=np.array(positions_px, float),
    positions_um=np.array(positions_px) * um_per_px,
  )


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
  path = tmp_path_factory.mktemp("slide") / "he.png"
  tissue().save(path)
  return path


def test_each_fault_is_flagged_where_it_is_and_nowhere_else(slide):
  section = patch_quality.judged(section_on(slide, list(PLACES.values())))
  for name in ("blurred", "inked", "blank"):
    assert [place for place, found in zip(PLACES, section.flags[name], strict=True) if found] == [
      name
    ]
  assert patch_quality.in_words(section) == ["1 inked", "1 blurred", "1 blank"]


def test_what_crosses_the_border_is_flagged_and_what_hardly_touches_the_image_goes(slide):
  section = patch_quality.judged(section_on(slide, [(250, 250), (40, 250), (5, 250), (56, 250)]))
  assert section.flags["padded"].tolist() == [False, True, False]
  (lost,) = [n for reason, n in section.dropped.items() if "more than a quarter beside" in reason]
  assert lost == 1


def test_blur_is_not_judged_on_a_coarse_image(slide):
  section = patch_quality.judged(section_on(slide, [(750, 250)], um_per_px=4.0))
  assert not section.flags["blurred"].any()
  assert patch_quality.in_words(section)[-1] == "blur not judged (4 um a pixel)"


def test_bins_of_one_square_share_a_judgement(slide, monkeypatch):
  seen = []
  looks = patch_quality._of_patch
  monkeypatch.setattr(patch_quality, "_of_patch", lambda patch: seen.append(0) or looks(patch))
  places = [(740 + 3 * n, 240) for n in range(8)]
  section = patch_quality.judged(section_on(slide, places))
  assert len(seen) <= 2
  assert section.flags["blurred"].all()


def tiled(tmp_path, tiles):
  """A slide of which these tiles are broken."""
  path = tmp_path / "he.tiff"
  write_tiled(path, [np.asarray(tissue())], 128)
  with Image.open(path) as image:
    offsets = image.tag_v2[324]
  data = bytearray(path.read_bytes())
  for tile in tiles:
    start = data.index(b"\xff\xda", offsets[tile]) + 20
    data[start : start + 60] = b"\xff" * 60
  path.write_bytes(bytes(data))
  return path


GRID = [(100.0 + 90 * column, 100.0 + 90 * row) for row in range(6) for column in range(10)]


def test_a_damaged_tile_costs_the_spots_on_it_and_many_cost_the_slide(tmp_path, monkeypatch):
  section = section_on(tiled(tmp_path, [0]), GRID)
  hand_made.hand_over(monkeypatch, [hand_made.Source(section)])
  manifest = prepare([tmp_path], tmp_path / "corpus", PrepareOptions(test_donors=()))
  (entry,) = manifest["sections"]
  assert entry["dropped"]["spots on a damaged part of the image"] == 1
  spots = pd.read_parquet(tmp_path / "corpus" / "spots.parquet")
  assert len(spots) == 59
  assert entry["flagged"] == {name: int(spots[name].sum()) for name in FLAGS}
  section = section_on(tiled(tmp_path, range(24)), GRID)
  with pytest.raises(BadInputError, match="of the spots lie on damaged parts"):
    patch_quality.judged(section)
