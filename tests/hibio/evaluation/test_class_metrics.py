"""Metrics of predicted classes against scikit-learn."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from hibio.evaluation import class_metrics
from hibio.evaluation.predictions import Predictions

CLASSES = ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def found() -> Predictions:
  """Three donors with unlike frequencies; scores with ties; donor z has no class d."""
  rng = np.random.default_rng(0)
  truth = rng.choice(4, 300, p=[0.5, 0.3, 0.15, 0.05])
  donor = np.repeat(["x", "y", "z"], 100)
  truth[(donor == "z") & (truth == 3)] = 0
  scores = np.round(np.eye(4)[truth] + rng.random((300, 4)) * 1.8, 1)
  scores /= scores.sum(1, keepdims=True)
  names = np.asarray(CLASSES)
  spots = pd.DataFrame(
    {
      "donor_id": donor,
      "section_id": np.char.add(donor, np.tile(["1", "2"], 150)),
      "fold": donor,
      "truth": names[truth],
      "predicted": names[scores.argmax(1)],
    }
  )
  return Predictions(spots, CLASSES, scores, {d: np.full(4, 0.25) for d in "xyz"})


def _sklearn(name, spots, scores):
  truth, predicted = spots["truth"].to_numpy(str), spots["predicted"].to_numpy(str)
  if name == "balanced_accuracy":
    return metrics.balanced_accuracy_score(truth, predicted)
  if name == "auroc":
    by_class = []
    for number, of_class in enumerate(CLASSES):
      folds = [spots["fold"] == fold for fold in "xyz" if fold in set(spots["fold"])]
      folds = [fold for fold in folds if of_class in truth[fold]]
      areas = [
        metrics.roc_auc_score(truth[fold] == of_class, scores[fold, number]) for fold in folds
      ]
      by_class += [np.mean(areas)] if areas else []
    return np.mean(by_class)
  average = name.removesuffix("_f1")
  return metrics.f1_score(
    truth, predicted, labels=np.unique(truth), average=average, zero_division=0
  )


@pytest.mark.parametrize("name", class_metrics.METRICS)
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_each_metric_equals_scikit_learn(found, name):
  pooled, _, unit = name.partition("_per_")
  want = _sklearn(pooled, found.spots, found.scores)
  if unit:
    units = found.spots[f"{unit}_id"]
    parts = [(units == one).to_numpy() for one in units.unique()]
    want = np.mean([_sklearn(pooled, found.spots[p].reset_index(), found.scores[p]) for p in parts])
  score = class_metrics.METRICS[name](found)
  assert 0.2 < score.value < 0.99
  assert score.value == pytest.approx(want, abs=1e-6)


def test_scores_of_two_folds_are_never_compared(found):
  lower = found.spots["fold"].to_numpy() == "x"
  # A quarter is exact in binary: ties stay ties.
  scaled = found.scores * np.where(lower, 0.25, 1.0)[:, None]
  shifted = dataclasses.replace(found, scores=scaled)
  assert class_metrics.auroc(shifted).value == class_metrics.auroc(found).value


def test_auroc_over_all_classes_equals_scikit_learns_one_against_the_rest(found):
  want = metrics.roc_auc_score(found.spots["truth"], found.scores, multi_class="ovr")
  found = dataclasses.replace(found, spots=found.spots.assign(fold="one"))
  assert class_metrics.auroc(found).value == pytest.approx(want, abs=1e-6)


def test_parts_are_the_recall_and_f1_of_each_class(found):
  truth, predicted = found.spots["truth"], found.spots["predicted"]
  for metric, reference in (
    (class_metrics.balanced_accuracy, metrics.recall_score),
    (class_metrics.macro_f1, metrics.f1_score),
  ):
    want = reference(truth, predicted, average=None, labels=list(CLASSES))
    assert metric(found).parts == pytest.approx(dict(zip(CLASSES, want, strict=True)), abs=1e-6)


def test_a_class_without_a_spot_has_no_auroc_and_is_counted(found):
  part = found.subset((found.spots["donor_id"] == "z").to_numpy())
  score = class_metrics.auroc(part)
  assert score.parts.keys() == {"a", "b", "c"}
  assert "undefined for 1 of 4 classes" in score.note


def test_spread_is_the_standard_deviation_over_donors(found):
  score = class_metrics.METRICS["macro_f1_per_donor"](found)
  assert score.spread == pytest.approx(np.std(list(score.parts.values()), ddof=1))
  assert score.spread > 0


def test_a_donor_with_one_class_is_left_out_of_the_mean_and_named(found):
  keep = (found.spots["donor_id"] != "y") | (found.spots["truth"] == "a")
  score = class_metrics.METRICS["balanced_accuracy_per_donor"](found.subset(keep.to_numpy()))
  assert score.parts.keys() == {"x", "z"}
  assert "left out: y" in score.note
