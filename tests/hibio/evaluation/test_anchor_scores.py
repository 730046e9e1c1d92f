from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import roc_auc_score

from hibio.evaluation import anchors


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


def test_sets_that_share_over_half_of_their_genes_with_a_known_one_are_left_out():
  known = np.zeros((2, 12), bool)
  known[0, :4], known[1, 6:] = True, True
  sets = np.zeros((4, 12), bool)
  sets[0, :4] = True  # the same
  sets[1, :6] = True  # 4 of 6
  sets[2, 2:6] = True  # 2 of 6
  sets[3, 4:8] = True  # 2 of 8
  np.testing.assert_array_equal(anchors.unlike(sets, known), [False, False, True, True])
  assert anchors.unlike(sets, known[:0]).all()
