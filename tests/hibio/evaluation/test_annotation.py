"""The linear probe as a task: what it scores on the truth, on noise, and on odd cohorts."""

import dataclasses

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier

from hibio.evaluation import annotation, class_metrics
from hibio.evaluation import predictions as predictions_
from hibio.evaluation.class_metrics import METRICS, balanced_accuracy
from hibio.evaluation.folds import Fold, folds_of

DONORS = ("d0", "d1", "d2")


def _rows(cohort, feature, donors=DONORS):
  folds = folds_of(cohort, donors)
  found = predictions_.predictions(cohort, folds, feature, "leaf")
  return {row.metric: row for row in annotation.rows(found, cohort, folds, "leaf", "m")}


def test_a_probe_on_the_truth_is_perfect_in_every_metric(annotated):
  rows = _rows(annotated, "truth/gene")
  assert rows.keys() == METRICS.keys()
  assert all(row.value == 1.0 for row in rows.values())
  assert rows["balanced_accuracy"].parts == {f"leaf{n}": 1.0 for n in range(4)}
  assert rows["macro_f1_per_donor"].parts == {"d0": 1.0, "d1": 1.0, "d2": 1.0}
  assert rows["macro_f1"].split == "leave-one-donor-out: d0, d1, d2"
  assert rows["macro_f1"].n == 360


def test_a_probe_on_noise_is_at_the_chance_that_is_printed(annotated):
  for metric, row in _rows(annotated, "noise/image").items():
    assert abs(row.value - row.chance) < 0.08, metric
    assert row.chance == pytest.approx(0.5 if "auroc" in metric else 0.25, abs=0.03)


def test_shuffled_labels_score_chance(annotated):
  shuffled = np.random.default_rng(0).permutation(annotated.spots["leaf"].to_numpy())
  rows = _rows(
    dataclasses.replace(annotated, spots=annotated.spots.assign(leaf=shuffled)), "truth/gene"
  )
  for metric, row in rows.items():
    assert abs(row.value - row.chance) < 0.08, metric


def test_a_class_never_seen_in_fitting_counts_as_errors_and_is_named(annotated):
  rare = (annotated.spots["leaf"] == "leaf1") & (annotated.spots["donor_id"] != "d2")
  row = _rows(annotated.subset(~rare.to_numpy()), "truth/gene", ["d2"])["balanced_accuracy"]
  assert row.value == 0.75
  assert row.parts["leaf1"] == 0.0
  assert "d2: never seen in fitting, counted as errors: leaf1" in row.note


def test_a_class_that_a_donor_lacks_is_not_averaged_there(annotated):
  absent = (annotated.spots["leaf"] == "leaf3") & (annotated.spots["donor_id"] == "d2")
  rows = _rows(annotated.subset(~absent.to_numpy()), "truth/gene")
  assert rows["balanced_accuracy_per_donor"].parts["d2"] == 1.0
  assert rows["balanced_accuracy_per_donor"].chance == pytest.approx((0.25 + 0.25 + 1 / 3) / 3)
  assert rows["balanced_accuracy"].chance == 0.25


def test_one_class_held_out_gives_no_number_but_a_reason(annotated):
  spots = annotated.spots
  one = ((spots["leaf"] == "leaf0") | (spots["donor_id"] != "d2")).to_numpy()
  rows = _rows(annotated.subset(one), "truth/gene", ["d2"])
  assert list(rows) == ["balanced_accuracy"]
  assert rows["balanced_accuracy"].value is None
  assert "2 classes held out, found 1" in rows["balanced_accuracy"].note


def test_a_fold_that_cannot_be_fitted_is_left_out_and_named(annotated):
  everything_but = Fold("donor_id", "d0")
  spots = annotated.spots
  poor = annotated.subset(((spots["donor_id"] == "d0") | (spots["leaf"] == "leaf0")).to_numpy())
  found = predictions_.predictions(
    poor, [everything_but, Fold("donor_id", "d1")], "truth/gene", "leaf"
  )
  assert set(found.spots["fold"]) == {"d1"}
  assert "d0: needs 2 classes to fit, found 1" in found.notes


def test_a_single_donor_gives_numbers_that_say_they_leak(annotated):
  one = annotated.subset((annotated.spots["donor_id"] == "d0").to_numpy())
  row = _rows(one, "truth/gene", ["d0"])["balanced_accuracy"]
  assert row.value == 1.0
  assert "LEAKY" in row.split


def test_a_single_section_has_nothing_to_hold_out_and_gives_a_reason(annotated):
  one = annotated.subset((annotated.spots["section_id"] == "s0").to_numpy())
  row = _rows(one, "truth/gene", ["d0"])["balanced_accuracy"]
  assert row.value is None
  assert row.split == "nothing held out"


def test_spots_without_a_label_or_out_of_the_features_sight_are_neither_fitted_nor_scored(
  annotated,
):
  leaf = annotated.spots["leaf"].to_numpy(object).copy()
  leaf[:20], leaf[20:40] = "undetermined", ""
  seen = np.arange(360) % 2 == 0
  cohort = dataclasses.replace(annotated, spots=annotated.spots.assign(leaf=leaf, has_patch=seen))
  found = predictions_.predictions(cohort, folds_of(cohort, DONORS), "blurred/image", "leaf")
  np.testing.assert_array_equal(found.spots["row"], np.flatnonzero(seen)[20:])
  assert found.classes == ("leaf0", "leaf1", "leaf2", "leaf3")


def test_predictions_name_the_spot_that_they_belong_to(annotated):
  folds = folds_of(annotated, ["d2", "d0"])
  found = predictions_.predictions(annotated, folds, "blurred/image", "leaf").spots
  assert len(found) == 240
  assert set(found["fold"][:120]) == {"d2"}
  own = annotated.spots.iloc[found["row"].to_numpy()]
  for column, source in (("truth", "leaf"), ("donor_id", "donor_id"), ("section_id", "section_id")):
    np.testing.assert_array_equal(found[column], own[source])


def test_the_confusion_matrix_holds_what_the_metrics_say(annotated):
  found = predictions_.predictions(annotated, folds_of(annotated, DONORS), "blurred/image", "leaf")
  confusion = found.confusion()
  assert confusion.sum() == 360
  assert (confusion - np.diag(np.diag(confusion))).sum() > 0
  recall = np.diag(confusion) / confusion.sum(1)
  assert recall.mean() == pytest.approx(balanced_accuracy(found).value)


def test_the_majority_row_equals_a_classifier_that_looks_at_nothing(annotated):
  common = annotated.spots["leaf"].where(annotated.spots.index % 3 > 0, "leaf1")
  cohort = dataclasses.replace(annotated, spots=annotated.spots.assign(leaf=common))
  folds = folds_of(cohort, ["d1"])
  found = class_metrics.majority(predictions_.predictions(cohort, folds, "noise/image", "leaf"))
  fit, test = folds[0].split(cohort)
  dummy = DummyClassifier(strategy="most_frequent").fit(fit.spots, fit.spots["leaf"])
  np.testing.assert_array_equal(found.spots["predicted"], dummy.predict(test.spots))
  rows = list(annotation.majority(found, cohort, folds, "leaf"))
  assert {row.method for row in rows} == {"majority class"}
  assert rows[0].value == 0.25


def test_stratified_guesses_follow_the_fitting_side_not_the_scored_one(annotated):
  spots = annotated.spots
  rare = np.flatnonzero((spots["leaf"] == "leaf0") & (spots["donor_id"] != "d2"))[4:]
  cohort = annotated.subset(~np.isin(np.arange(360), rare))
  found = predictions_.predictions(cohort, folds_of(cohort, ["d2"]), "noise/image", "leaf")
  rng = np.random.default_rng(0)
  drawn = [
    (class_metrics.stratified(found, rng).spots["predicted"] == "leaf0").mean() for _ in range(50)
  ]
  assert np.mean(drawn) == pytest.approx(found.shares["d2"][0], abs=0.01)
  assert found.shares["d2"][0] < 0.05 < (found.spots["truth"] == "leaf0").mean()


def test_with_nothing_held_out_there_is_no_number_but_a_reason(annotated):
  found = predictions_.predictions(annotated, (), "truth/gene", "leaf")
  for rows in (
    list(annotation.rows(found, annotated, (), "leaf", "m")),
    list(annotation.majority(found, annotated, (), "leaf")),
  ):
    assert [row.value for row in rows] == [None]
    assert "needs 2 classes held out" in rows[0].note
  assert predictions_.too_few(0, ["A: needs 2 classes to fit, found 0"]).startswith("A: needs")
