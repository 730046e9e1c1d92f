"""Maps: discs lie on the tissue, colours mean groups and values, what is unknown is grey."""

from unittest import mock

import anndata
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import EllipseCollection
from matplotlib.colors import same_color
from PIL import Image

from data_pipelines.loading.corpus import Corpus
from hibio.report import canvas, section_figures
from hibio.report.exhibits import GroupMap, MapRow, ValueMap

UM_PER_PX, SCALE = 2.0, 0.5
POSITIONS_PX = np.array([[100.0, 100.0], [150.0, 100.0], [100.0, 150.0], [150.0, 150.0]])
PITCH_UM = 100.0


@pytest.fixture
def adata():
  made = anndata.AnnData(shape=(4, 0), obsm={"spatial": POSITIONS_PX})
  factors = {"microns_per_pixel": UM_PER_PX, "tissue_hires_scalef": SCALE}
  image = np.full((200, 300, 3), 200, np.uint8)
  made.uns["spatial"] = {"S": {"images": {"hires": image}, "scalefactors": factors}}
  return made


@pytest.fixture
def axis():
  figure, axis = plt.subplots()
  yield axis
  plt.close(figure)


@pytest.fixture
def corpus(tmp_path):
  """Two sections of three spots in a row, mixed in the table; only the first has an image."""
  Image.fromarray(np.full((50, 60, 3), 200, np.uint8)).save(tmp_path / "A.png")
  sections = [
    {"section_id": "A", "donor_id": "D1", "thumbnail": "A.png", "thumbnail_um_per_px": 8.0},
    {"section_id": "B", "donor_id": "D2"},
  ]
  spots = pd.DataFrame({
    "section_id": [*"ABABAB"], "x_um": [100.0, 100.0, 200.0, 200.0, 300.0, 300.0],
    "y_um": [100.0] * 6,
  })  # fmt: skip
  made = mock.Mock(Corpus, path=tmp_path, manifest={"sections": sections}, spots=spots)
  made.thumbnail.side_effect = lambda entry: tmp_path / "A.png" if "thumbnail" in entry else None
  yield made
  plt.close("all")


def discs(axis) -> dict[tuple[float, float], tuple]:
  """Centre of each disc -> its diameter and colour."""
  found = {}
  for one in axis.collections:
    if isinstance(one, EllipseCollection) and len(one.get_offsets()):
      colours = np.broadcast_to(one.get_facecolor(), (len(one.get_offsets()), 4))
      for centre, width, colour in zip(one.get_offsets(), one.get_widths(), colours, strict=True):
        found[tuple(centre.tolist())] = (width, tuple(colour))
  return found


def colours(axis) -> list[tuple]:
  """Colour of each disc of full size, in the order of its x and y."""
  found = sorted(discs(axis).items())
  return [colour for _, (width, colour) in found if width > 0.5 * PITCH_UM]


def told(axis) -> list[str]:
  return [text.get_text() for text in axis.texts]


def scale_bar(axis) -> str:
  (bar,) = [one for one in axis.artists if hasattr(one, "size_bar")]
  return bar.txt_label.get_text()


def test_spots_and_image_share_one_scale_in_micrometres(axis, adata):
  section_figures.values(axis, adata, np.arange(4.0), "x")
  assert set(discs(axis)) == set(map(tuple, UM_PER_PX * POSITIONS_PX))
  assert axis.images[0].get_extent() == [0, 300 * UM_PER_PX / SCALE, 200 * UM_PER_PX / SCALE, 0]
  assert axis.yaxis_inverted()


def test_discs_nearly_touch_their_neighbours(axis, adata):
  section_figures.values(axis, adata, np.arange(4.0), "x")
  assert all(0.85 * PITCH_UM < width < PITCH_UM for width, _ in discs(axis).values())


def test_the_scale_bar_is_as_long_as_it_says(axis, adata):
  section_figures.tissue(axis, adata)
  (bar,) = [one for one in axis.artists if hasattr(one, "size_bar")]
  (rectangle,) = bar.size_bar.get_children()
  assert scale_bar(axis) == f"{rectangle.get_width():g} µm"
  assert 0 < rectangle.get_width() < 0.5 * np.ptp(axis.get_xlim())


def test_an_order_gives_the_same_group_the_same_colour_in_every_map(axis, adata):
  section_figures.groups(axis, adata, ["b", "b", "c", "c"], "x", order=("a", "b", "c"))
  want = {"b": canvas.of_groups(3)[1], "c": canvas.of_groups(3)[2]}
  for (_, y), (_, colour) in discs(axis).items():
    assert same_color(colour, want["b" if y == 200 else "c"])
  legend = axis.get_legend()
  assert [text.get_text() for text in legend.get_texts()] == ["a", "b", "c"]


def test_colours_of_values_go_up_their_scale_and_the_colour_bar_tells_its_unit(axis, adata):
  section_figures.values(axis, adata, np.arange(4.0), "x", unit="log1p(CP10k)")
  _, bar = axis.figure.axes
  assert bar.get_xlabel() == "log1p(CP10k)"
  low, high = bar.get_xlim()
  assert (low, high) == pytest.approx(np.percentile(np.arange(4.0), (2, 98)))
  by_value = [discs(axis)[tuple(place)][1] for place in UM_PER_PX * POSITIONS_PX]
  assert np.all(np.diff([sum(colour[:2]) for colour in by_value]) > 0)  # viridis, without blue


def test_spots_without_a_group_or_a_value_are_small_grey_dots(axis, adata):
  for drawn in (
    lambda: section_figures.groups(axis, adata, ["a", "", "nan", "a"], "x"),
    lambda: section_figures.values(axis, adata, np.array([1.0, np.nan, np.nan, 2.0]), "x"),
  ):
    axis.clear()
    drawn()
    for place, known in zip(UM_PER_PX * POSITIONS_PX, (True, False, False, True), strict=True):
      width, colour = discs(axis)[tuple(place)]
      assert (width > 0.5 * PITCH_UM) == known
      assert (len(set(colour[:3])) > 1) == known


@pytest.mark.parametrize("order", [list("1234"), [f"group {n}" for n in range(1, 20)]])
def test_numbers_and_many_groups_have_no_legend(axis, adata, order):
  section_figures.groups(axis, adata, order[:4], "x", order)
  assert axis.get_legend() is None


def test_a_section_without_an_image_says_so_over_its_spots(axis, adata):
  section_figures.tissue(axis, adata)
  assert len(axis.images) == 1
  assert told(axis) == []
  axis.clear()
  del adata.uns["spatial"]["S"]["images"]["hires"]
  section_figures.tissue(axis, adata)
  assert not axis.images
  assert told(axis) == ["no image"]
  assert len(discs(axis)) == 4


def test_a_map_without_any_value_says_so(axis, adata):
  section_figures.values(axis, adata, np.full(4, np.nan), "x")
  assert axis.get_xlabel() == "no values"
  assert len(axis.figure.axes) == 1


def test_each_section_of_a_corpus_has_its_own_row_with_its_own_spots(corpus):
  values = {"A": np.array([1.0, 2.0, 3.0]), "B": np.array([6.0, 5.0, 4.0])}
  row = MapRow("", "", "", [ValueMap("gene", "counts", values, {"A": "r 0.41"})])
  tissues = [section_figures.of_corpus(corpus, name) for name in ("B", "A")]
  figure = section_figures.map_row(row, tissues)
  first, rising, second, falling, *bars = figure.axes
  falling, rising = rising, falling
  assert [first.get_title(), second.get_title()] == ["B, donor D2: H&E", "A, donor D1: H&E"]
  assert (told(first), told(second)) == (["no image"], [])
  assert [len(first.images), len(second.images)] == [0, 1]
  assert np.all(np.diff([sum(c[:2]) for c in colours(rising)]) > 0)
  assert np.all(np.diff([sum(c[:2]) for c in colours(falling)]) < 0)
  assert {bar.get_xlabel() for bar in bars} == {"counts"}
  assert [falling.get_title(), rising.get_title()] == ["gene", "gene\nr 0.41"]


def test_group_maps_colour_spots_of_one_group_alike_and_leave_out_those_of_none(corpus):
  groups = {"A": np.array([0, 0, 1]), "B": np.array([7, -1, 7])}
  tissues = [section_figures.of_corpus(corpus, name) for name in ("A", "B")]
  figure = section_figures.map_row(MapRow("", "", "", [GroupMap("regions", groups)]), tissues)
  _, first, _, second = figure.axes
  assert first.get_title() == "regions"
  one, two, three = colours(first)
  assert one == two != three
  assert len(set(colours(second))) == 1
  assert len(colours(second)) == 2


def test_a_written_map_shows_a_spot_in_the_colour_of_its_group(corpus, tmp_path):
  pictures = []
  for names in (["a", "", "b", "", "b", ""], ["b", "", "a", "", "a", ""]):
    path = section_figures.draw_groups(corpus, {"t": np.array(names)}, ["A"], tmp_path / "m.png")
    pictures.append(np.asarray(Image.open(path).convert("RGB")).astype(int))
  a, b = (np.array(canvas.rgb_of(colour)) for colour in canvas.of_groups(2))
  painted = [[(np.abs(p - c).max(-1) < 3).sum() for c in (a, b)] for p in pictures]
  # One spot of a and two of b, then the reverse; a legend's dots weigh little beside a spot.
  assert painted[0][1] / painted[0][0] == pytest.approx(2.0, rel=0.1)
  assert painted[1][0] / painted[1][1] == pytest.approx(2.0, rel=0.1)
