"""Positions, array and image that do not belong together, on every platform that has an array."""

import pathlib
from contextlib import nullcontext

import numpy as np
import pytest

from data_pipelines import readers
from data_pipelines.pixels import unlike_he
from data_pipelines.problems import BadInputError
from data_pipelines.readers import array_fit, lattice, on_tissue, placement
from data_pipelines.readers.annotated import contents, sections
from data_pipelines.readers.annotated.sections import Choices
from data_pipelines.slide_image import ArrayImage, SlideImage
from tests.data_pipelines import annotated, raw_folders

SIZE = 1000


def tissue(size=SIZE):
  """Glass with a stained, lopsided shape in the upper left; and where the shape is."""
  y, x = np.mgrid[:size, :size] / size
  shape = ((x - 0.35) ** 2 + (y - 0.3) ** 2 < 0.25**2) | ((x < 0.3) & (y > 0.3) & (y < 0.9))
  noise = np.random.default_rng(0).normal(0, 6, (size, size, 3))
  pixels = np.where(shape[..., None], (190, 110, 160), (242, 240, 243)) + noise
  return pixels.clip(0, 255).astype(np.uint8), shape


PIXELS, SHAPE = tissue()


def spots():
  """(row, column) and (x, y) of the spots of a hexagonal array that lie on the tissue."""
  row, number = np.divmod(np.arange(45 * 40), 40)
  array = np.stack([row, 2 * number + row % 2], 1)
  places = lattice.hexagonal(array[:, 0], array[:, 1], 24.0) + 15
  on = SHAPE[tuple(places.astype(int).T[::-1])]
  return array[on], places[on]


ARRAY, PLACES = spots()
CHANGES = {
  "x_and_y_exchanged": lambda xy: xy[:, ::-1],
  "mirrored_left_to_right": lambda xy: xy * [-1, 1] + [SIZE - 1, 0],
  "mirrored_top_to_bottom": lambda xy: xy * [1, -1] + [0, SIZE - 1],
  "slipped_by_one_spot": lambda xy: np.roll(xy, 1, axis=0),
  "slipped_by_a_row": lambda xy: np.roll(xy, 40, axis=0),
  "a_tenth_shuffled": lambda xy: _shuffled(xy, len(xy) // 10),
  "odd_rows_shifted": lambda xy: xy + np.where(ARRAY[:, :1] % 2, [24, 0], 0),
}


def _shuffled(xy, count):
  chosen = np.random.default_rng(1).permutation(len(xy))[:count]
  xy = xy.copy()
  xy[np.sort(chosen)] = xy[chosen]
  return xy


def turned(pixels, places, quarters):
  """An image and the places on it, turned by 90 degrees clockwise so many times."""
  for _ in range(quarters):
    pixels, places = (
      np.rot90(pixels, -1),
      np.stack([len(pixels) - 1 - places[:, 1], places[:, 0]], 1),
    )
  return pixels, places


def notes_of(array, places, pixels=PIXELS, **choices):
  """Notes of an AnnData of these spots, or the problem that it has."""
  adata = annotated.adata(annotated.section(rows=1, columns=len(places)))
  adata.obs["array_row"], adata.obs["array_col"] = array.T
  adata.obsm["spatial"] = places.astype(float)
  if pixels is not None:
    library = {"images": {"hires": pixels}, "scalefactors": {"tissue_hires_scalef": 1.0}}
    adata.uns["spatial"] = {"S": library}
  return sections.sections_of(contents.of_object(adata), Choices(**choices))[0].notes


@pytest.mark.parametrize("quarters", range(4))
def test_a_slide_may_be_turned(quarters):
  pixels, places = turned(PIXELS, PLACES, quarters)
  assert notes_of(ARRAY, places, pixels) == ("counts from X",)


@pytest.mark.parametrize("change", list(CHANGES))
@pytest.mark.parametrize("quarters", [0, 1])
def test_a_mirror_and_rows_that_slipped_are_refused_also_on_a_turned_slide(change, quarters):
  pixels, places = turned(PIXELS, CHANGES[change](PLACES), quarters)
  with pytest.raises(BadInputError):
    notes_of(ARRAY, places, pixels)


def test_a_mirror_without_an_image_is_said():
  assert any("mirror image" in note for note in notes_of(ARRAY, PLACES[:, ::-1], None))


def test_what_the_messages_say_of_exchanged_axes_mends_them():
  with pytest.raises(BadInputError, match="say swapped"):
    notes_of(ARRAY, PLACES[:, ::-1])
  assert notes_of(ARRAY, PLACES[:, ::-1], positions="swapped") == ("counts from X",)
  assert any("taken as it is" in n for n in notes_of(ARRAY, PLACES[:, ::-1], positions="as_is"))


@pytest.mark.parametrize(
  "pixels", [PIXELS[::-1], PIXELS[:, ::-1], PIXELS[::-1, ::-1], np.rot90(PIXELS)]
)
def test_an_image_that_shows_tissue_elsewhere_is_refused(pixels):
  with pytest.raises(BadInputError, match="spots on tissue"):
    notes_of(ARRAY, PLACES, np.ascontiguousarray(pixels))


def test_exchanged_axes_are_named_on_an_image_that_is_not_square_and_without_an_array():
  pixels = PIXELS[200:900, 920:][:, [0]].repeat(SIZE, axis=1)
  pixels[50:200, 50:600] = (190, 110, 160)
  image = ArrayImage.of("S.h5ad", pixels.shape, "hires", lambda: pixels)
  x, y = np.meshgrid(np.arange(60.0, 600, 24), np.arange(60.0, 200, 24))
  right = np.stack([x.ravel(), y.ravel()], 1)
  assert on_tissue.checked(image, right, image.path) == ()
  with pytest.raises(BadInputError, match="x and y exchanged.*say swapped"):
    on_tissue.checked(image, right[:, ::-1], image.path)


def test_another_way_of_laying_spots_that_fits_well_is_named_though_most_lie_on_tissue_already():
  pixels = PIXELS[200:1000, 920:][:, [0]].repeat(SIZE, axis=1)
  pixels[100:500, 100:700] = (190, 110, 160)
  image = ArrayImage.of("S.h5ad", pixels.shape, "hires", lambda: pixels)
  x, y = np.meshgrid(np.arange(110.0, 700, 20), np.arange(110.0, 500, 20))
  right = np.stack([x.ravel(), y.ravel()], 1)
  assert not any("spots on tissue" in note for note in on_tissue.checked(image, right, image.path))
  with pytest.raises(BadInputError, match="6[0-9]% of the spots on tissue.*100% if it were"):
    on_tissue.checked(image, right[:, ::-1], image.path)


def test_spots_on_a_small_part_of_the_tissue_are_said():
  part = (PLACES[:, 0] > 250) & (PLACES[:, 0] < 480) & (PLACES[:, 1] < 300)
  assert part.sum() > 40
  (note,) = [n for n in notes_of(ARRAY[part], PLACES[part]) if n != "counts from X"]
  assert "times as much tissue away from all spots as under them" in note


@pytest.mark.parametrize("axis", [0, 1])
def test_an_array_may_count_from_one_and_one_axis_of_it_may_not_run_backwards(axis):
  later, backwards = ARRAY.copy(), ARRAY.copy()
  later[:, axis] += 1
  assert notes_of(later, PLACES) == ("counts from X",)
  backwards[:, axis] = backwards[:, axis].max() - backwards[:, axis]
  for odd in (0, 1):
    backwards[:, axis] += odd
    for words in ({}, {"um_per_px": 4.0}):
      with pytest.raises(BadInputError, match="count array_row or array_col the other way"):
        notes_of(backwards, PLACES, **words)


@pytest.mark.parametrize("axes", [slice(None), slice(None, None, -1)])
def test_bins_of_visium_hd_that_lie_the_other_way_round_are_said_and_on_an_image_refused(
  axes, tmp_path
):
  array = np.stack(np.divmod(np.arange(100), 10), 1)
  known = array[:, ::-1] * [8.0, -8.0] + [0, 80]
  about = {"file": pathlib.Path("b"), "platform": "visium_hd"}
  notes = placement.checked(array, known[:, axes], None, 1.0, **about)
  exchanged = axes.step == -1
  assert any("positive determinant" in note for note in notes) == exchanged
  raw_folders.textured(100, 100).save(tmp_path / "he.png")
  image = SlideImage.open(tmp_path / "he.png")
  with pytest.raises(BadInputError, match="say swapped") if exchanged else nullcontext():
    placement.checked(array, known[:, axes], image, 1.0, **about)


def test_a_blank_image_is_refused_and_a_grey_or_exchanged_one_is_said():
  with pytest.raises(BadInputError, match="blank"):
    notes_of(ARRAY, PLACES, np.full_like(PIXELS, 240))
  assert notes_of(ARRAY, PLACES, np.full_like(PIXELS, 240), without_image=True)
  grey = np.repeat(PIXELS.mean(-1, keepdims=True).astype(np.uint8), 3, axis=-1)
  assert any("grey" in note for note in notes_of(ARRAY, PLACES, grey))
  purple = np.where((PLACES[:, 0] < 300)[:, None], (120, 60, 150), (230, 150, 190))
  assert unlike_he(purple.astype(float)) is None
  assert "blue, green, red" in unlike_he(purple[:, ::-1].astype(float))


def test_exchanged_axes_of_a_file_on_a_wide_image_are_mended_by_the_word(tmp_path):
  section = annotated.section(rows=4, columns=20)
  wide = raw_folders.textured(420, 110)
  adata = annotated.adata(section, image=np.asarray(wide))
  adata.uns["spatial"]["S"]["scalefactors"]["tissue_hires_scalef"] = 1.0
  right = adata.obsm["spatial"]
  adata.obsm["spatial"] = np.ascontiguousarray(right[:, ::-1])
  adata.write_h5ad(tmp_path / "S.h5ad")
  with pytest.raises(BadInputError, match="say swapped"):
    readers.read_sections(tmp_path)
  (found,) = readers.read_sections(tmp_path, words=readers.Words(positions="swapped"))
  np.testing.assert_allclose(found.positions_px, right)


def test_rows_and_columns_of_the_array_the_other_way_round_are_named():
  with pytest.raises(BadInputError, match="exchange array_row and array_col"):
    notes_of(ARRAY[:, ::-1], PLACES)


def test_pieces_that_hold_together_may_lie_a_pitch_beside_their_places():
  places = PLACES + np.where(PLACES[:, 1:] > 500, [0, 24.0], 0)
  apart = np.abs(PLACES[:, 1] - 500) > 30  # between the pieces there are no spots
  notes = notes_of(ARRAY[apart], places[apart], None)
  assert any("in pieces that hold together" in note for note in notes)


def test_the_map_is_that_of_most_spots():
  places = PLACES.copy()
  places[: len(places) // 3] = np.random.default_rng(0).uniform(0, SIZE, (len(places) // 3, 2))
  fit = array_fit.fitted(ARRAY, places)
  np.testing.assert_allclose(fit.matrix, [[12.0, 0.0], [0.0, 24 * np.sqrt(0.75)]], atol=1e-6)
  assert fit.pitch_px == pytest.approx(24.0)
  assert array_fit.fitted(ARRAY[:1].repeat(9, 0), places[:9]) is None


def test_space_ranger_and_legacy_arrays_are_judged_alike(tmp_path):
  visium = raw_folders.visium(tmp_path / "v" / "outs")
  visium.x_px = visium.x_px.max() + visium.x_px.min() - visium.x_px
  visium.write_positions()
  legacy = raw_folders.legacy_st(tmp_path / "l", names=("A1",))
  (legacy.folder / "images").mkdir()
  raw_folders.textured(500, 650).save(legacy.folder / "images" / "A1.png")
  legacy.pixel_x = 2000 - legacy.pixel_x
  legacy.write_spots("A1")
  (tmp_path / "l" / "metadata.csv").write_text("section,image_scale\nA1,0.25\n")
  for folder in (visium.folder, legacy.folder):
    with pytest.raises(BadInputError, match="mirror image of the array"):
      readers.read_sections(folder)
    (section,) = readers.read_sections(folder, words=readers.Words(positions="as_is"))
    assert any("mirror image" in note for note in section.notes)


def test_a_scanner_that_states_another_scale_is_heard(tmp_path):
  sample = raw_folders.visium(tmp_path / "S" / "outs")
  image = raw_folders.textured(sample.width, sample.height)
  for um, refused in ((2.0, False), (1.0, True)):
    image.save(
      tmp_path / "he.tif", tiffinfo={270: f'<OME PhysicalSizeX="{um}" PhysicalSizeXUnit="um"/>'}
    )
    words = readers.Words(image=str(tmp_path / "he.tif"))
    if refused:
      with pytest.raises(BadInputError, match="1 by OME PhysicalSize beside 2 by"):
        readers.read_sections(sample.folder, words=words)
    else:
      assert readers.read_sections(sample.folder, words=words)[0].um_per_px == pytest.approx(2.0)


def test_real_sections_are_refused_neither_by_their_array_nor_by_their_image(real_data):
  for name in ("visium_dlpfc_151510", "heart_st", "mob_stahl"):
    section = readers.open_sections(real_data / name)[0].read()
    assert not array_fit.fitted(section.array_positions, section.positions_px).mirrors
