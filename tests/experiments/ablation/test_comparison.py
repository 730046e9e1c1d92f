"""Figures, differences, words and pictures of answers whose difference is known."""

import dataclasses
import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import stats

from experiments.ablation import figures, tables
from experiments.ablation.comparison import compare
from experiments.ablation.measures import MEASURES
from experiments.ablation.tables import SWAPPED
from hibio.evaluation.rows import Row
from tests.experiments.ablation.answers import SECTIONS, answers, probe_row

LABELS, RETRIEVAL = "labels, gene", "image to gene"
SWEPT = "default:model.keywords.num_keywords=8"


@pytest.fixture
def found():
  return compare(answers(loss=0.1), [probe_row([0.3, 0.3, 0.4, 0.4], "pca/gene")])


def _markdown(found, failures=None):
  changed = {"no_pathway": {"training.stages": ([{"name": "pathway", "objectives": []}], 3)}}
  return tables.markdown(found, "# Title", failures or {}, {"default": 0.25}, changed)


def test_a_figure_is_the_mean_over_seeds_of_each_run_with_its_sample_deviation(found):
  values = [rows[0].value for rows in answers()["default"].values()]
  cell = found.presets["default"][LABELS]
  assert cell.mean == pytest.approx(np.mean(values))
  assert cell.sd == pytest.approx(np.std(values, ddof=1))
  assert (cell.num_units, cell.chance) == (len(SECTIONS), 0.25)
  assert found.baselines["pca"][LABELS].mean == pytest.approx(0.35)
  assert RETRIEVAL not in found.baselines["pca"]


def test_pairs_find_a_difference_far_below_what_sections_and_seeds_differ_by(found):
  one = found.differences["no_pathway"][LABELS]
  assert one.mean == pytest.approx(-0.1, abs=0.01)
  assert one.low > -0.12
  assert one.excludes_zero
  assert (one.num_units, one.num_seeds) == (4, 3)
  assert found.presets["default"][LABELS].sd > 0.05
  assert not found.differences["no_pathway"][RETRIEVAL].excludes_zero


def test_a_baseline_stands_where_it_sees_no_more_than_the_measure_allows():
  rows = [probe_row([0.3] * 4, "pca/gene"), probe_row([0.2] * 4, "coordinates/position")]
  found = compare(answers(), rows).baselines
  beside = "labels, gene beside pca"
  assert set(found["pca"]) == {LABELS, beside, "labels, both"}
  assert set(found["coordinates"]) == {"labels, image", LABELS, beside, "labels, both"}


def test_where_anchors_are_read_a_baseline_without_any_stands_by_its_features():
  def row(method, value):
    return Row("domains", "d", "k-means, no smoothing", "s", "ari", method, value, 10, 0.0)

  measure = next(one for one in MEASURES if one.name == "anchor domains, gene")
  rows = [row("untrained/gene", 0.1), row("untrained/gene@anchors", 0.2), row("pca/gene", 0.3)]
  assert measure.baseline_row(rows, "untrained").value == 0.2
  assert measure.baseline_row(rows, "pca").value == 0.3
  assert measure.baseline_row([row("colour/image", 0.4)], "colour") is None
  plain = next(one for one in MEASURES if one.name == "domains, gene")
  assert plain.baseline_row(rows, "untrained").value == 0.1


def test_only_seeds_and_sections_that_both_have_are_compared():
  few = answers()
  del few["no_pathway"][2]
  parts = dict(few["no_pathway"][0][0].parts)
  del parts["s3"]
  object.__setattr__(few["no_pathway"][0][0], "parts", parts)
  one = compare(few, []).differences["no_pathway"][LABELS]
  assert (one.num_units, one.num_seeds) == (3, 2)


OF_DONOR = {"s0": "d0", "s1": "d0", "s2": "d1", "s3": "d2"}


def test_a_figure_has_an_interval_over_sections_and_one_over_donors():
  rows = {"default": {0: [probe_row([0.1, 0.3, 0.4, 0.6])], 1: [probe_row([0.3, 0.5, 0.4, 0.6])]}}
  cell = compare(rows, [], OF_DONOR).presets["default"][LABELS]
  sections, donors = [0.2, 0.4, 0.4, 0.6], [0.3, 0.4, 0.6]
  for got, values in ((cell.over_sections, sections), (cell.over_donors, donors)):
    want = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    assert (got.mean, got.num_units) == (pytest.approx(np.mean(values)), len(values))
    assert (got.low, got.high) == pytest.approx(want)
  assert cell.sd == pytest.approx(np.std([0.35, 0.45], ddof=1))  # seeds, and seeds alone


def test_two_donors_have_a_mean_and_no_interval_and_the_page_says_so():
  two = {"s0": "d0", "s1": "d0", "s2": "d1", "s3": "d1"}
  found = compare(answers(), [probe_row([0.3] * 4, "pca/gene")], two)
  one = found.presets["default"][LABELS].over_donors
  assert (one.low, one.high, one.num_units) == (None, None, 2)
  assert not found.over_donors
  text = _markdown(found)
  assert "Fewer than 3 donors were scored" in text
  assert "| pca | sections | 0.300 [0.300, 0.300] (4) |" in text
  assert "| donors |" not in text


def test_differences_over_donors_are_of_each_donors_mean():
  found = compare(answers(loss=0.1), [], OF_DONOR)
  one = found.over_donors["no_pathway"][LABELS]
  assert (one.num_units, one.num_seeds) == (3, 3)
  assert one.mean == pytest.approx(-0.1, abs=0.01)
  assert one.excludes_zero
  assert "### The same over donors" in _markdown(found)
  json.dumps(found.to_json(), allow_nan=False)


def test_parts_that_are_no_sections_have_no_interval_over_sections():
  cell = compare(answers(), [], {"other": "d0"}).presets["default"][LABELS]
  assert (cell.over_sections, cell.over_donors) == (None, None)


def test_a_learning_curve_has_a_point_for_each_number_of_sections(found):
  sized = {f"default, {n} training sections": {0: [probe_row([n / 10] * 4)]} for n in (2, 4)}
  lines = {"default": {n: f"default, {n} training sections" for n in (2, 4, 8)}}
  axis = _panel(figures.learning_curve(compare(sized, []), lines), LABELS)
  np.testing.assert_allclose(axis.lines[0].get_xydata(), [[2, 0.2], [4, 0.4]])
  np.testing.assert_allclose(axis.lines[1].get_ydata(), [0.25, 0.25])  # chance
  assert figures.learning_curve(found, {}) is None
  plt.close("all")


def test_without_a_default_there_are_figures_and_no_differences():
  some = answers()
  del some["default"]
  found = compare(some, [])
  assert found.presets
  assert not found.differences
  assert "Differences" not in _markdown(found)


def test_the_sentence_says_what_changes_with_its_interval_and_how_much_does_not(found):
  one = found.differences["no_pathway"][LABELS]
  assert tables.sentence("no_pathway", found.differences["no_pathway"]) == (
    f"Without pathway anchors: labels from expression {one.mean:+.3f}"
    f" [{one.low:+.3f}, {one.high:+.3f}], worse. In 1 of 2 measures the interval includes 0."
  )
  same = tables.sentence(SWEPT, found.differences[SWEPT])
  assert same.endswith("it shows no clear change. In 2 of 2 measures the interval includes 0.")


def test_a_rise_of_what_should_be_low_is_worse(found):
  rise = dataclasses.replace(found.differences["no_pathway"][LABELS], mean=0.1, low=0.05, high=0.2)
  text = tables.sentence("joint", {"contrast": rise, LABELS: rise})
  assert "the spot contrast +0.100 [+0.050, +0.200], worse" in text
  assert "labels from expression +0.100 [+0.050, +0.200], better" in text


def test_presets_have_words_of_their_own():
  assert tables.begins("default" + SWAPPED).startswith("With the coordinates")
  assert tables.begins("default:a=1") == "With `default:a=1`"


def test_tables_hold_presets_baselines_chance_and_units(found):
  text = _markdown(found, {"joint, seed 0": "status 76: not finite"})
  cell = found.presets["default"][LABELS]
  assert f"{cell.mean:.3f} ± {cell.sd:.3f}" in text
  assert "| pca | - | 0.350 | - |" in text
  assert "| chance | - | 0.250 | - |" in text
  assert "| units | - | 4 sections | - |" in text
  assert "joint, seed 0: status 76: not finite" in text
  assert "(4 x 3)" in text
  assert "| `no_pathway` | `training.stages` | pathway: - | 3 |" in text


def test_what_is_written_is_strict_json(found):
  text = json.dumps(found.to_json(), allow_nan=False)
  one = json.loads(text)["differences"]["no_pathway"][LABELS]
  assert one["excludes_zero"] is True


def _panel(figure, measure):
  return next(axis for axis in figure.axes if axis.get_title().startswith(measure))


def test_the_forest_has_a_dot_at_each_difference_in_the_colour_of_its_verdict(found):
  axis = _panel(figures.forest(found), LABELS)
  presets = [text.get_text() for text in axis.get_yticklabels()]
  dots = {presets[int(line.get_ydata()[0])]: line for line in axis.lines
          if line.get_marker() == "o"}  # fmt: skip
  spans = {presets[int(line.get_ydata()[0])]: line for line in axis.lines
           if line.get_marker() != "o" and len(set(line.get_ydata())) == 1}  # fmt: skip
  assert set(dots) == set(found.differences)
  for preset, row in found.differences.items():
    one = row[LABELS]
    assert dots[preset].get_xdata()[0] == pytest.approx(one.mean)
    assert list(spans[preset].get_xdata()) == pytest.approx([one.low, one.high])
  assert dots["no_pathway"].get_color() == figures._WORSE
  assert "vermilion is worse" in figures.forest(found).get_suptitle()
  plt.close("all")


def test_a_measure_that_nobody_was_asked_has_no_panel(found):
  measures = {name for row in found.differences.values() for name in row}
  figure = figures.forest(found)
  assert {axis.get_title().partition(" (")[0] for axis in figure.axes} == measures
  plt.close(figure)


def test_a_sweep_is_drawn_over_the_values_of_its_key(found, tmp_path):
  configs = {
    "default": {"model.keywords.num_keywords": 16, "model.keywords.score": "surprisal"},
    "no_pathway": {"model.keywords.num_keywords": 16},
    SWEPT: {"model.keywords.num_keywords": 8},
  }
  ((key, values),) = figures.sweeps(list(found.presets), configs).items()
  assert values == {"default": 16.0, SWEPT: 8.0}
  axis = _panel(figures.sweep(found, key, values), LABELS)
  assert axis.get_xlabel() == "model.keywords.num_keywords"
  cells = [found.presets[name][LABELS].mean for name in (SWEPT, "default")]
  np.testing.assert_allclose(axis.lines[0].get_xydata(), np.stack([[8.0, 16.0], cells], 1))
  plt.close("all")
  path = tmp_path / "sweep.png"
  assert figures.save(figures.sweep(found, key, values), path) == path
  assert figures.save(figures.sweep(found, key, {"default": 16.0}), tmp_path / "no.png") is None
  assert [one.name for one in tmp_path.iterdir()] == ["sweep.png"]


def test_one_value_of_a_key_is_no_sweep():
  assert not figures.sweeps(["default", "joint"], {"default": {}, "joint": {}})
  same = {"default": {"a.b": 3}, "default:a.b=3": {"a.b": 3}}
  assert not figures.sweeps(list(same), same)


def test_presets_that_share_another_key_are_a_sweep_of_their_own():
  shared = "default:objectives.pathway_form=kl_indicator"
  names = ["default", *(f"{shared}:objectives.activity_threshold={x}" for x in (0.3, 1.5))]
  configs = {
    name: {"objectives.pathway_form": "kl_indicator", "objectives.activity_threshold": value}
    for name, value in zip(names, (0.8, 0.3, 1.5), strict=True)
  }
  found = figures.sweeps(names, configs)
  assert found == {"objectives.activity_threshold": {names[1]: 0.3, names[2]: 1.5}}
