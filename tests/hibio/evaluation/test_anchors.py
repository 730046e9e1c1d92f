from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import roc_auc_score

from hibio.evaluation import anchors
from hibio.evaluation.methods import Method


@pytest.fixture
def case():
  rng = np.random.default_rng(0)
  activity = rng.normal(size=(80, 6))
  score = activity + rng.normal(size=(80, 6)) * np.arange(6)
  score[:, 2] = score[:, 2].round()  # equal scores
  return activity, score


def test_correlations_are_those_of_scipy(case):
  activity, score = case
  want = [pearsonr(a, b)[0] for a, b in zip(activity.T, score.T, strict=True)]
  np.testing.assert_allclose(anchors.correlations(activity, score), want, atol=1e-9)


def test_aurocs_are_those_of_scikit_learn_for_the_fifth_of_most_active_spots(case):
  activity, score = case
  found = anchors.aurocs(activity, score)
  for number in range(6):
    active = np.zeros(80, bool)
    active[np.argsort(-activity[:, number])[:16]] = True
    want = roc_auc_score(active, score[:, number])
    assert found[number] == pytest.approx(want, abs=1e-9)


def test_a_set_that_is_never_more_active_has_no_score(case):
  activity, score = case
  activity[:, 1] = 0.0
  assert np.isnan(anchors.correlations(activity, score)[1])
  assert np.isnan(anchors.aurocs(activity, score)[1])
  assert np.isfinite(anchors.aurocs(activity, score)).sum() == 5


def test_controls_of_the_anchors_stay_at_chance(evaluation):
  rows = [row for row in evaluation.rows if row.task == "anchors"]
  rows = [row for row in rows if not row.method.endswith("@ridge")]
  names = {"{}", "{}@member genes", "random sets, {}", "shuffled spots, {}"}
  assert {row.method for row in rows} == {
    name.format(f"{model}/{seen}")
    for name in names
    for model in ("hibio", "untrained")
    for seen in ("image", "gene")
  }
  for row in rows:
    if row.method.startswith("shuffled spots, hibio") and row.metric in ("correlation", "auroc"):
      assert abs(row.value - row.chance) < 0.1
    if row.method.startswith("random sets"):
      assert len(row.parts) == (0 if row.metric.startswith("beyond") else anchors.DRAWS)


def test_anchors_that_are_the_activity_itself_follow_it(evaluation):
  setting = evaluation.setting
  activity = anchors.activity(setting, setting.scored, setting.corpus.membership)
  for _, rows in setting.scored.sections():
    found = anchors.correlations(activity[rows], activity[rows])
    np.testing.assert_allclose(found[np.isfinite(found)], 1.0)


def test_a_ridge_follows_activity_where_its_feature_does_and_not_where_spots_changed_places(
  evaluation,
):
  setting = evaluation.setting
  activity = anchors.activity(setting, setting.cohort, setting.corpus.membership)
  moved = np.random.default_rng(0).permutation(activity)
  setting = setting.with_features(
    {"itself/image": activity, "moved/image": moved}, Method("itself"), Method("moved")
  )
  found = {
    (row.method, row.metric): row.value
    for name in ("itself", "moved")
    for row in anchors.rows(setting, setting.method(name))
  }
  assert found["itself/image@ridge", "correlation"] > 0.9
  assert found["itself/image@ridge", "auroc"] > 0.9
  assert abs(found["moved/image@ridge", "correlation"]) < 0.15


def test_the_model_and_colour_are_asked_for_activity_by_the_same_ridge(evaluation):
  asked = {row.method for row in evaluation.rows if row.task == "anchors"}
  assert {"hibio/image@ridge", "untrained/image@ridge", "colour/image@ridge"} <= asked
