"""Maps show each spot where it lies, in the colour of what it is."""

import base64
import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from hibio.report import canvas as canvases
from hibio.report.canvas import Canvas
from hibio.report.exhibits import GroupMap, Tissue, ValueMap


def pixels(uri: str) -> np.ndarray:
  return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


@pytest.fixture(scope="module")
def tissue() -> Tissue:
  grid = np.stack(np.meshgrid(np.arange(6), np.arange(4)), -1).reshape(-1, 2)
  return Tissue("S", "D", None, 4.0, 100.0 * grid + 500.0)


@pytest.fixture(scope="module")
def canvas(tissue) -> Canvas:
  return Canvas(tissue)


def at(canvas: Canvas, x_um: float, y_um: float) -> tuple[int, int]:
  """(row, column) of a place; the frame begins 1.5 spots before the first one."""
  return (
    int((y_um - 500 + 1.5 * canvas.tissue.spot_um) * canvas.px_per_um),
    int((x_um - 500 + 1.5 * canvas.tissue.spot_um) * canvas.px_per_um),
  )


def test_each_spot_has_the_colour_of_its_group(canvas, tissue):
  names = np.array(["a", "b", "c"])[np.arange(24) % 3]
  layer, legend = canvas.groups(GroupMap("t", {"S": names}, classes=("a", "b", "c")))
  drawn, colour = pixels(layer), dict(legend.groups)
  for name, (x, y) in zip(names, tissue.positions_um, strict=True):
    assert tuple(drawn[at(canvas, x, y)]) == (*canvases.rgb_of(colour[name]), 255)


def test_between_spots_the_tissue_is_seen(canvas):
  layer, _ = canvas.groups(GroupMap("t", {"S": np.full(24, "a")}))
  assert pixels(layer)[at(canvas, 550, 550)][3] == 0
  assert pixels(layer)[at(canvas, 400, 400)][3] == 0


def test_a_spot_of_no_group_is_a_small_grey_dot(canvas):
  names = np.array(["", *["a"] * 23])
  drawn = pixels(canvas.groups(GroupMap("t", {"S": names}))[0])
  assert tuple(drawn[at(canvas, 500, 500)][:3]) == (128, 128, 128)
  assert drawn[at(canvas, 500 + 30, 500)][3] == 0
  assert drawn[at(canvas, 600 + 30, 500)][3] == 255


def test_more_groups_than_colours_still_get_colours(canvas):
  layer, legend = canvas.groups(GroupMap("t", {"S": np.arange(24).astype(str)}))
  assert legend.groups == ()
  assert (pixels(layer)[..., 3] > 0).any()


def test_values_go_from_dark_to_bright(canvas, tissue):
  layer, legend = canvas.values(ValueMap("t", "sd", {"S": np.arange(24.0)}))
  drawn = pixels(layer).astype(int)
  light = [drawn[at(canvas, x, y)][:3].sum() for x, y in tissue.positions_um]
  assert np.all(np.diff(light[2:-2:4]) > 0)
  assert (legend.low, legend.high) == ("0.46", "23 sd")


def test_a_missing_value_is_not_a_low_one(canvas):
  values = np.arange(24.0)
  values[5] = np.nan
  drawn = pixels(canvas.values(ValueMap("t", "", {"S": values}))[0])
  assert tuple(drawn[at(canvas, 1000, 500)][:3]) == (128, 128, 128)


def test_a_map_without_any_value_can_be_drawn(canvas):
  layer, _ = canvas.values(ValueMap("t", "", {"S": np.full(24, np.nan)}))
  assert pixels(layer).shape == (canvas.height_px, canvas.width_px, 4)


def test_the_tissue_lies_under_its_spots(canvas, tissue):
  picture = np.full((300, 400, 3), 255, np.uint8)
  x, y = tissue.positions_um[9]
  row, column = int(y / 4), int(x / 4)
  picture[row - 8 : row + 8, column - 8 : column + 8] = (200, 0, 0)
  marked = Canvas(dataclasses.replace(tissue, pixels=picture))
  drawn = pixels(marked.picture())[..., 1] < 128
  rows, columns = np.nonzero(drawn)
  want = at(marked, x, y)
  assert abs(rows.mean() - want[0]) < 2
  assert abs(columns.mean() - want[1]) < 2
  side_px = 64 * marked.px_per_um
  assert abs(np.ptp(rows) - side_px) < 4


def test_colours_of_up_to_eight_groups_differ_for_all_eyes():
  colours = np.array([canvases.rgb_of(colour) for colour in canvases.of_groups(8)], float)
  # Red and green as a deuteranope sees them, weighed together; blue as it is.
  confused = np.stack([colours[:, 0] * 0.63 + colours[:, 1] * 0.37, colours[:, 2]], axis=1)
  distance = np.linalg.norm(confused[:, None] - confused[None], axis=-1)
  assert distance[~np.eye(8, dtype=bool)].min() > 20


def test_a_section_without_an_image_shows_its_spots_in_grey(canvas, tissue):
  drawn = pixels(canvas.picture()).astype(int)
  x, y = tissue.positions_um[9]
  assert abs(drawn[at(canvas, x, y)] - canvases._NO_IMAGE).max() < 4  # JPEG
  assert drawn[at(canvas, x + 50, y + 50)].min() > 250


def test_other_groups_give_another_picture(canvas):
  names = np.array(["a", "b"])[np.arange(24) % 2]
  one, _ = canvas.groups(GroupMap("t", {"S": names}, classes=("a", "b")))
  other, _ = canvas.groups(GroupMap("t", {"S": names[::-1]}, classes=("a", "b")))
  assert one != other


def test_beyond_eight_groups_colours_differ_in_lightness():
  colours = canvases.of_groups(24)
  assert len(set(colours)) == 24
  light = np.array([canvases.rgb_of(colour) for colour in colours], float) @ (0.3, 0.6, 0.1)
  normal, pale, dark = np.split(light, 3)
  assert np.all(pale - normal > 10)
  assert np.all(normal - dark > 10)


@pytest.mark.parametrize(("um", "bar"), [(230.0, 200), (99.0, 50), (1500.0, 1000), (0.2, 1)])
def test_a_scale_bar_has_a_round_length_that_fits(um, bar):
  assert canvases.round_length(um) == bar


def test_lengths_from_a_millimetre_on_are_told_in_millimetres():
  assert [canvases.length_in_words(um) for um in (200, 1000, 2000)] == ["200 µm", "1 mm", "2 mm"]
