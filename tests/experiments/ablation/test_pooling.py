"""Answers of several folds as one: the parts side by side, and everything else over them."""

import dataclasses

import pytest

from experiments.ablation.pooling import pooled, with_every_fold
from hibio.evaluation.rows import Row, over_parts
from hibio.evaluation.scope import SAME_PATIENT


def _row(parts, chance=0.25, metric="recall@5", protocol="own section, 17 regions", n=10):
  row = over_parts(
    parts, task="retrieval", dataset="d", protocol=protocol, split="sections x" + SAME_PATIENT,
    metric=metric, method="hibio", chance=chance,
  )  # fmt: skip
  return dataclasses.replace(row, n=n)


def test_a_mean_over_sections_stays_one_over_the_sections_of_all_folds():
  (row,) = pooled({
    "A": [_row({"A1": 0.1, "A2": 0.2}, chance=0.1)],
    "B": [_row({"B1": 0.6}, chance=0.4, protocol="own section, 9 to 12 regions")],
  })  # fmt: skip
  assert row.parts == {"A1": 0.1, "A2": 0.2, "B1": 0.6}
  assert row.value == pytest.approx(0.3)
  assert row.chance == pytest.approx(0.2)
  assert row.n == 20
  assert row.split == "held out in turn: A, B" + SAME_PATIENT


def test_parts_of_one_name_in_several_folds_are_told_apart():
  (row,) = pooled({"A": [_row({"batch 0": 0.2})], "B": [_row({"batch 0": 0.4})]})
  assert row.parts == {"A: batch 0": 0.2, "B: batch 0": 0.4}
  assert row.value == pytest.approx(0.3)


def test_what_is_a_share_of_all_spots_is_one_over_the_spots_of_all_folds():
  whole = [
    dataclasses.replace(_row(parts, chance=value / 2, n=n), value=value)
    for parts, value, n in (({"A1": 0.1, "A2": 0.6}, 0.5, 30), ({"B1": 0.7}, 0.7, 10))
  ]
  (row,) = pooled({"A": [whole[0]], "B": [whole[1]]})
  assert row.parts == {"A1": 0.1, "A2": 0.6, "B1": 0.7}
  assert (row.value, row.chance) == pytest.approx((0.55, 0.275))


def test_of_what_has_no_parts_the_folds_are_the_parts():
  whole = [dataclasses.replace(_row({}), value=value, n=5) for value in (0.5, 0.7)]
  (row,) = pooled({"A": [whole[0]], "B": [whole[1]]})
  assert row.parts == {"A": 0.5, "B": 0.7}
  assert row.value == pytest.approx(0.6)


def test_a_fold_without_an_answer_is_left_out_and_several_questions_stay_apart():
  none = Row("retrieval", "d", "own section, 17 regions", "s", "recall@5", "hibio", None, 0, None)
  few = [_row({"A1": 0.2}, protocol="5 labels"), _row({"A1": 0.4}, protocol="10 labels")]
  rows = pooled({"A": [_row({"A1": 0.2}), *few], "B": [none, *few]})
  assert [row.value for row in rows] == pytest.approx([0.2, 0.2, 0.4])
  assert rows[0].parts == {"A1": 0.2}


def test_nobody_answers_where_no_fold_does():
  none = Row("t", "d", "p", "s", "m", "hibio", None, 0, None, "no image")
  assert pooled({"A": [none], "B": [none]}) == [none]


def test_a_seed_that_lacks_a_fold_is_in_no_mean_and_the_reason_is_told():
  answers = {"default": {0: {"A": [], "B": []}, 1: {"A": []}}, "joint": {0: {"B": []}}}
  folds = {("default", 0): {"A", "B"}, ("default", 1): {"A", "B"}, ("joint", 0): {"A", "B"}}
  kept, left_out = with_every_fold(answers, folds)
  assert {preset: list(seeds) for preset, seeds in kept.items()} == {"default": [0]}
  assert list(left_out) == ["default seed 1", "joint seed 0"]
  assert "without B it has no figures" in left_out["default seed 1"]
