"""An image alone: where the tissue is, which places are read, and how large they are."""

import numpy as np
import pytest
from PIL import Image
from scipy.spatial import cKDTree

from data_pipelines.problems import BadInputError
from data_pipelines.readers import slide
from data_pipelines.readers.slide import GRIDS, otsu, tissue_mask

EOSIN = np.array([226, 160, 190])
GLASS = np.array([243, 242, 244])


def drawn(height=300, width=400, background=GLASS):
  """A pink disk of radius 100 around (150, 160) on glass, with noise; and where it is."""
  y, x = np.mgrid[:height, :width]
  disk = (x - 150) ** 2 + (y - 160) ** 2 < 100**2
  noise = np.random.default_rng(0).normal(0, 3, (height, width, 3))
  pixels = np.where(disk[..., None], EOSIN, background) + noise
  return pixels.clip(0, 255).astype(np.uint8), disk


def saved(tmp_path, pixels, name="slide.png", **options):
  Image.fromarray(pixels).save(tmp_path / name, **options)
  return tmp_path / name


@pytest.mark.parametrize("background", [GLASS, np.zeros(3), np.full(3, 200)])
def test_tissue_is_what_is_coloured_on_glass_on_black_and_on_grey(background):
  pixels, disk = drawn(background=background)
  found = tissue_mask(pixels)
  assert (found & disk).sum() / (found | disk).sum() > 0.95


def test_an_image_full_of_tissue_is_all_tissue():
  noise = np.random.default_rng(0).normal(0, 12, (100, 100, 3))
  assert tissue_mask((EOSIN + noise).clip(0, 255).astype(np.uint8)).mean() > 0.95


def test_otsu_parts_two_groups_of_values():
  rng = np.random.default_rng(0)
  values = np.concatenate([rng.normal(0, 0.1, 500), rng.normal(1, 0.1, 200)])
  assert 0.3 < otsu(values) < 0.7


@pytest.mark.parametrize("name", list(GRIDS))
def test_a_grid_has_its_pitch_and_is_centred(name):
  positions, array = GRIDS[name](1000.0, 700.0, 50.0)
  neighbours = {"hexagonal": 6, "square": 4}[name]
  distance = np.sort(cKDTree(positions).query(positions, k=9)[0][:, 1:], axis=1)
  inner = (np.abs(positions - [500, 350]) < 200).all(1)
  np.testing.assert_allclose(distance[inner, :neighbours], 50.0)
  assert (distance[inner, neighbours] > 60).all()
  np.testing.assert_allclose((positions.min(0) + positions.max(0)) / 2, [500, 350])
  assert len(np.unique(array, axis=0)) == len(array)
  if name == "hexagonal":  # numbered as Visium numbers its spots
    assert (array[:, 0] % 2 == array[:, 1] % 2).all()


@pytest.mark.parametrize("grid", list(GRIDS))
def test_places_lie_on_the_tissue_and_cover_it(tmp_path, grid):
  pixels, disk = drawn()
  found = slide.with_grid(saved(tmp_path, pixels), 2.0, grid, 20.0)
  x, y = np.round(found.section.positions_px).astype(int).T
  assert disk[y, x].mean() > 0.95
  area_px = {"hexagonal": 10**2 * np.sqrt(0.75), "square": 10**2}[grid]
  assert len(x) == pytest.approx(disk.sum() / area_px, rel=0.05)
  assert found.section.um_per_px == 2.0
  assert len(set(found.spot_ids.tolist())) == len(x) == len(found.array_positions)


def test_an_image_without_tissue_is_refused(tmp_path):
  with pytest.raises(BadInputError, match="tissue"):
    slide.with_grid(saved(tmp_path, np.full((80, 90, 3), 240, np.uint8)), 2.0, "square", 20.0)


@pytest.mark.parametrize(
  ("um_per_px", "grid", "grid_um", "words"),
  [
    (None, "square", 20.0, "--um_per_px"),
    (400.0, "square", 2000.0, "0.1 to 20"),
    (2.0, "round", 20.0, "hexagonal or square"),
    (2.0, "square", 1.0, "at least a pixel"),
    (2.0, "square", 5000.0, "finer grid"),
  ],
)
def test_a_scale_or_grid_that_cannot_be_meant_is_refused(tmp_path, um_per_px, grid, grid_um, words):
  with pytest.raises(BadInputError, match=words):
    slide.with_grid(saved(tmp_path, drawn()[0]), um_per_px, grid, grid_um)


def test_the_scale_is_read_from_a_tiff_that_states_one_and_not_from_screens(tmp_path):
  pixels, _ = drawn()
  path = saved(tmp_path, pixels, "slide.tif", resolution_unit=3, x_resolution=5000.0,
               y_resolution=5000.0)  # fmt: skip
  section = slide.with_grid(path, None, "square", 40.0).section
  assert section.um_per_px == pytest.approx(2.0)
  assert "TIFF" in section.um_per_px_source
  screen = saved(tmp_path, pixels, "screen.tif", dpi=(72, 72))
  with pytest.raises(BadInputError, match="352"):
    slide.with_grid(screen, None, "square", 40.0)
  photo = saved(tmp_path, pixels, "photo.jpg", dpi=(25400, 25400))
  with pytest.raises(BadInputError, match="found nothing"):
    slide.with_grid(photo, None, "square", 40.0)


def test_places_can_be_given_in_a_table(tmp_path):
  path = saved(tmp_path, drawn()[0])
  table = tmp_path / "spots.csv"
  table.write_text("spot,x,y\na,150,160\nb,10,20.5\n")
  found = slide.with_spots(path, 1.0, table)
  assert found.spot_ids.tolist() == ["a", "b"]
  np.testing.assert_array_equal(found.section.positions_px, [[150, 160], [10, 20.5]])
  for text, words in (
    ("x,z\n1,2\n", "column y"),
    ("x,y\n1,two\n", "two"),
    ("x,y\n9000,9000\n", "places on the image"),
    ("spot,x,y\na,1,1\na,2,2\n", "twice"),
    ("x,y\n", "none"),
  ):
    table.write_text(text)
    with pytest.raises(BadInputError, match=words):
      slide.with_spots(path, 1.0, table)
