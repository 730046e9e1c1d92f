"""Maps of an AnnData: discs lie on the tissue, colours mean groups, nothing unknown is coloured."""

import anndata
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import EllipseCollection

from hibio.report import canvas, section_figures

UM_PER_PX, SCALE = 2.0, 0.5
POSITIONS_PX = np.array([[100.0, 100.0], [150.0, 100.0], [100.0, 150.0], [150.0, 150.0]])


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


def _discs(axis) -> list[EllipseCollection]:
  return [one for one in axis.collections if isinstance(one, EllipseCollection)]


def test_spots_and_image_share_one_scale_in_micrometres(axis, adata):
  section_figures.values(axis, adata, np.arange(4.0), "x")
  (drawn,) = _discs(axis)
  np.testing.assert_allclose(drawn.get_offsets(), UM_PER_PX * POSITIONS_PX)
  assert axis.images[0].get_extent() == [0, 300 * UM_PER_PX / SCALE, 200 * UM_PER_PX / SCALE, 0]
  assert axis.yaxis_inverted()


def test_an_order_gives_the_same_group_the_same_colour_in_every_map(axis, adata):
  section_figures.groups(axis, adata, ["b", "b", "c", "c"], "x", order=("a", "b", "c"))
  colours = [
    tuple(np.round(one.get_facecolor()[0][:3], 3)) for one in _discs(axis) if len(one.get_offsets())
  ]
  want = [tuple(np.round(np.array(canvas.rgb_of(c)) / 255, 3)) for c in canvas.of_groups(3)[1:]]
  assert colours == want
  assert [text.get_text() for text in axis.get_legend().get_texts()] == ["a", "b", "c"]


def test_spots_without_a_group_or_a_value_stay_without_a_colour(axis, adata):
  section_figures.groups(axis, adata, ["a", "", "nan", "a"], "x")
  assert sum(len(one.get_offsets()) for one in _discs(axis)) == 2
  axis.clear()
  section_figures.values(axis, adata, np.array([1.0, np.nan, 2.0, np.nan]), "x")
  assert sum(len(one.get_offsets()) for one in _discs(axis)) == 2


@pytest.mark.parametrize("order", [list("1234"), [f"group {n}" for n in range(1, 20)]])
def test_numbers_and_many_groups_have_no_legend(axis, adata, order):
  section_figures.groups(axis, adata, order[:4], "x", order)
  assert axis.get_legend() is None


def test_a_section_without_an_image_is_drawn_without_one(axis, adata):
  del adata.uns["spatial"]["S"]["images"]["hires"]
  section_figures.tissue(axis, adata)
  assert not axis.images
