"""Annotation from a handful of labelled spots."""

import numpy as np
import pytest
from sklearn.neighbors import NearestCentroid

from hibio.evaluation import annotation
from hibio.evaluation.folds import folds_of


def _rows(cohort, feature):
  return list(annotation.few_shot(cohort, folds_of(cohort, ["d1", "d2"]), feature, "leaf", "m"))


def test_more_labelled_spots_help_where_classes_can_be_told_apart(annotated):
  rows = _rows(annotated, "blurred/image")
  values = [row.value for row in rows]
  assert [row.protocol.split(",")[1].split()[0] for row in rows] == ["1", "2", "4", "8", "16"]
  assert values[0] + 0.15 < values[-1]
  assert rows[-1].spread < rows[0].spread
  assert all(len(row.parts) == annotation.REPEATS for row in rows)


def test_noise_stays_at_chance_however_many_spots_are_labelled(annotated):
  for row in _rows(annotated, "noise/image"):
    assert row.chance == 0.25
    assert abs(row.value - row.chance) < 0.05


def test_labels_come_from_the_fitting_donors_only(annotated):
  wrong = annotated.features["truth/gene"].copy()
  of_d2 = (annotated.spots["donor_id"] == "d2").to_numpy()
  wrong[of_d2] = np.roll(wrong[of_d2], 1, axis=1)
  annotated.features["wrong/gene"] = wrong
  rows = list(
    annotation.few_shot(annotated, folds_of(annotated, ["d2"]), "wrong/gene", "leaf", "m")
  )
  assert rows[-1].value == 0.0


def test_the_nearest_class_mean_equals_scikit_learns():
  rng = np.random.default_rng(0)
  values, unseen = rng.normal(size=(30, 5)), rng.normal(size=(50, 5))
  names = np.repeat(["a", "b", "c"], 10)
  got = annotation.nearest_class_mean(values, names, unseen, 10, rng)
  np.testing.assert_array_equal(got, NearestCentroid().fit(values, names).predict(unseen))


def test_a_class_that_the_fitting_donors_lack_counts_as_errors(annotated):
  lacking = (annotated.spots["leaf"] == "leaf3") & (annotated.spots["donor_id"] != "d2")
  cohort = annotated.subset(~lacking.to_numpy())
  rows = list(annotation.few_shot(cohort, folds_of(cohort, ["d2"]), "truth/gene", "leaf", "m"))
  assert [row.value for row in rows] == pytest.approx([0.75] * 5)


def test_one_class_held_out_gives_reasons_not_numbers(annotated):
  spots = annotated.spots
  one = ((spots["leaf"] == "leaf0") | (spots["donor_id"] == "d0")).to_numpy()
  for row in _rows(annotated.subset(one), "truth/gene"):
    assert row.value is None
    assert "2 classes" in row.note
