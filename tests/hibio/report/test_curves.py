"""Training curves: what was logged is drawn, beside its chance, and nothing overprints."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import same_color

from hibio.report import curves

STAGES = {1: "spot", 2: "spot", 3: "pathway", 4: "region", 5: "region"}


def logged(**values) -> list[dict]:
  """Five steps over three stages; `spot=3.0` logs a loss that falls from 3."""
  lines = [{"step": step, "stage": stage} for step, stage in STAGES.items()]
  for name, start in values.items():
    for line in lines:
      line[f"loss/{name}"] = start / line["step"]
  return lines


@pytest.fixture
def drawn():
  """Draws lines; every figure is closed afterwards."""
  yield curves.training_figure
  plt.close("all")


def titles(figure):
  return [axis.get_title() for axis in figure.axes]


def curve(figure, name, kind):
  return next(
    line
    for axis in figure.axes
    for line in axis.lines
    if line.get_label() == f"{name}, {kind}"
  )  # fmt: skip


def test_a_curve_holds_the_steps_and_values_that_were_logged(drawn):
  figure = drawn(logged(spot=3.0))
  points = curve(figure, "spot", "training").get_xydata()
  np.testing.assert_allclose(points, [[step, 3.0 / step] for step in STAGES])


def test_chance_is_drawn_in_the_colour_of_its_curve_for_training_and_for_held_out_donors(drawn):
  lines = logged(region=2.0, spot_to_region=3.0)
  for line in lines:
    line["chance/spot_to_region"] = 1.5
  lines[2] |= {"held_out/loss/spot_to_region": 0.6, "held_out/chance/spot_to_region": 0.5}
  figure = drawn(lines)
  training = curve(figure, "spot to region", "training")
  for kind, values in (
    ("its chance", [1.5] * 5), ("held-out donors", [0.6]), ("their chance", [0.5]),
  ):  # fmt: skip
    found = curve(figure, "spot to region", kind)
    assert list(found.get_ydata()) == values
    assert same_color(found.get_color(), training.get_color())
  with pytest.raises(StopIteration):
    curve(figure, "region", "its chance")


def test_what_was_not_logged_or_is_switched_off_has_no_panel(drawn):
  assert titles(drawn(logged(spot=3.0))) == ["spot contrast"]
  assert titles(drawn(logged(spot=3.0, reconstruction=1.0))) == [
    "spot contrast", "reconstruction of genes"
  ]  # fmt: skip
  assert titles(drawn(logged(spot=3.0, reconstruction=0.0))) == ["spot contrast"]


def test_an_objective_that_no_panel_names_is_drawn_all_the_same(drawn):
  figure = drawn(logged(spot=3.0, my_own=2.0))
  assert titles(figure) == ["spot contrast", "my own"]
  assert list(curve(figure, "my own", "training").get_ydata())[0] == 2.0


def test_every_axis_says_what_it_counts(drawn):
  lines = logged(spot=3.0, hierarchy=1.0, my_own=2.0, reconstruction=1.0)
  for line in lines:
    line["monitor/effective_rank_image"] = 4.0
  for axis in drawn(lines).axes:
    assert axis.get_xlabel() == "step"
    assert axis.get_ylabel()


def test_stages_are_shaded_without_a_gap_and_named_once(drawn):
  figure = drawn(logged(spot=3.0, hierarchy=1.0))
  for axis in figure.axes:
    assert not axis.texts
    spans = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in axis.patches]
    assert spans == [(1, 3), (3, 4), (4, 5)]
  told = [text.get_text() for text in figure.legends[0].get_texts()]
  assert told == [
    "training", "stage spot, from step 1", "stage pathway, from step 3",
    "stage region, from step 4",
  ]  # fmt: skip


def test_no_text_lies_over_another(drawn):
  lines = logged(spot=3.0, pathway=2.0, prototype=1.0, region=1.0, hierarchy=2.0)
  for line in lines:
    line |= {"chance/spot": 2.0, "held_out/loss/spot": 2.5, "held_out/chance/spot": 2.0}
  figure = drawn(lines)
  figure.canvas.draw()
  texts = [axis.title for axis in figure.axes] + figure.legends[0].get_texts()
  texts += [label for axis in figure.axes for label in (axis.xaxis.label, axis.yaxis.label)]
  boxes = [text.get_window_extent() for text in texts]
  assert not [pair for pair in itertools.combinations(boxes, 2) if pair[0].overlaps(pair[1])]


def _ticks(figure):
  return [
    line
    for axis in figure.axes
    for line in axis.lines
    if same_color(line.get_color(), curves.ALARM) and len(line.get_xdata())
  ]


@pytest.mark.parametrize("rings", [True, False])
def test_a_red_tick_stands_where_an_alarm_rings_and_nowhere_else(drawn, rings):
  lines = logged(spot=3.0, hierarchy=1.0)
  if rings:
    lines[2] |= {"alarms": ["cone_gene"]}
    lines[3] |= {"alarms": ["cone_gene", "collapse_gene"]}
  figure = drawn(lines)
  assert len(_ticks(figure)) == (len(figure.axes) if rings else 0)
  assert all(list(tick.get_xdata()) == [3, 4] for tick in _ticks(figure))
  said = figure.get_suptitle()
  assert said == ("alarms: cone_gene (step 3), collapse_gene (step 4)" if rings else "")


def test_nothing_logged_is_told(drawn):
  assert titles(drawn([])) == ["nothing was logged"]


def test_the_page_has_the_curves_on_light_and_on_dark_paper():
  found = curves.drawn_curves(logged(spot=3.0))
  assert found.light != found.dark
  assert found.steps == "5"
  assert curves.drawn_curves(logged(spot=4.0)).light != found.light
  assert curves.drawn_curves(logged(spot=3.0)) == found


def test_where_held_out_donors_have_no_image_only_what_counts_decide_is_drawn_of_them(drawn):
  lines = logged(spot=3.0, pathway=2.0, gene_reconstruction=1.0)
  lines[2] |= {
    "held_out/loss/spot": None,
    "held_out/loss/pathway": 1.0,
    "held_out/loss/gene_reconstruction": 0.9,
  }
  figure = drawn(lines)
  drawn_of_them = {line.get_label() for axis in figure.axes for line in axis.lines}
  assert "gene reconstruction, held-out donors" in drawn_of_them
  assert "pathway, held-out donors" not in drawn_of_them
  assert figure.get_suptitle() == curves.UNPAIRED
