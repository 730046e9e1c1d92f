import numpy as np
import pytest
from sklearn.linear_model import Ridge

from hibio.evaluation import reduced_rank
from hibio.evaluation.reduced_rank import Axes, Choice, Search, Truth, regression

SECTIONS = np.repeat(["a", "b", "c", "d"], 60)
FOLDS = [np.flatnonzero(name == SECTIONS) for name in "abcd"]


def _centred(values):
  for rows in FOLDS:
    values[rows] -= values[rows].mean(0)
  return values.astype(np.float32)


@pytest.fixture
def planted():
  """Features, and genes that three of their patterns explain to about a third."""
  rng = np.random.default_rng(0)
  x = _centred(rng.normal(size=(240, 80)))
  truth = x @ rng.normal(size=(80, 3)) @ rng.normal(size=(3, 40))
  truth /= truth.std()
  return x, _centred(truth + rng.normal(size=truth.shape) * 1.4), truth


@pytest.mark.parametrize("width", [30, 300])
def test_at_full_rank_it_is_ridge_regression(width):
  rng = np.random.default_rng(1)
  x, y = (rng.normal(size=(120, n)).astype(np.float32) for n in (width, 12))
  axes = Axes.of(x)
  weights, loadings = reduced_rank.reduced(axes, axes.rows.T @ y, 50.0, 12)
  want = Ridge(50.0, fit_intercept=False).fit(x, y).predict(x)
  np.testing.assert_allclose(x @ weights @ loadings, want, atol=2e-4)  # float32


def test_of_a_lower_rank_it_is_the_best_fit_of_that_rank(planted):
  x, y, _ = planted
  axes = Axes.of(x)
  weights, loadings = reduced_rank.reduced(axes, axes.rows.T @ y, 1e-3, 2)
  ols = x @ np.linalg.lstsq(x, y, rcond=None)[0]
  left, values, right = np.linalg.svd(ols, full_matrices=False)
  np.testing.assert_allclose(
    x @ weights @ loadings, (left[:, :2] * values[:2]) @ right[:2], atol=0.01
  )
  assert np.linalg.matrix_rank(weights @ loadings) == 2


def test_the_planted_rank_is_found_and_predicts_better_than_ridge(planted):
  x, y, truth = planted
  search = Search.of(x, SECTIONS, FOLDS)
  choice = search.choose(y, may_retrieve=False)
  assert choice.rank == 3
  assert not choice.with_nearest
  full = Choice(choice.share, 30)
  assert search.score(y, choice) > search.score(y, full) + 0.02


def test_retrieval_is_chosen_where_the_truth_bends_and_not_where_it_is_a_plane(planted):
  x, y, _ = planted
  assert not Search.of(x, SECTIONS, FOLDS).choose(y).with_nearest
  rng = np.random.default_rng(2)
  line = rng.uniform(-1, 1, 240)
  x = _centred(line[:, None] + rng.normal(size=(240, 1)) * 0.02)
  bump = np.stack([np.exp(-((line - c) ** 2) / 0.05) for c in np.linspace(-1, 1, 9)], 1)
  bent = _centred(bump + rng.normal(size=bump.shape) * 0.3)
  choice = Search.of(x, SECTIONS, FOLDS).choose(bent)
  assert choice.with_nearest


def test_noise_correlates_with_nothing_in_left_out_sections():
  rng = np.random.default_rng(3)
  x, y = _centred(rng.normal(size=(240, 50))), _centred(rng.normal(size=(240, 30)))
  search = Search.of(x, SECTIONS, FOLDS)
  assert abs(search.score(y, search.choose(y))) < 0.05  # the best of 64 is a little above 0


def test_correlations_are_those_of_numpy_and_a_constant_gene_has_none():
  rng = np.random.default_rng(4)
  y, predicted = rng.normal(size=(2, 240, 3))
  y[:60, 1] = 2.0
  found = Truth.of(y, SECTIONS).correlation(predicted)
  assert found.shape == (4, 3)
  assert np.isnan(found[0, 1])
  want = np.corrcoef(y[60:120, 2], predicted[60:120, 2])[0, 1]
  assert found[1, 2] == pytest.approx(want, abs=1e-5)


def test_without_a_fold_to_leave_out_the_choice_is_the_default(planted):
  x, y, _ = planted
  assert Search.of(x, SECTIONS, [np.arange(240)]).choose(y) == Choice()


def test_spots_nearest_in_the_scores_are_averaged_with_the_regression(planted):
  x, y, _ = planted
  alone, both = (regression(x, y, Choice(1e-2, 3, nearest)) for nearest in (False, True))
  scores = x @ both.weights
  near = np.linalg.norm(scores - scores[7], axis=1).argsort()[:40]
  want = (alone(x[7:8])[0] + y[near].mean(0)) / 2
  np.testing.assert_allclose(both(x[7:8])[0], want, atol=1e-4)  # 40 genes: all components


@pytest.mark.parametrize("most", [0, 3, 8])
def test_correlations_of_every_rank_are_those_of_their_predictions(most):
  rng = np.random.default_rng(5)
  scores, loadings, y = (
    rng.normal(size=shape).astype(np.float32) for shape in ((240, most), (most, 30), (240, 30))
  )
  y[:, 0], loadings[:, 1], scores[:60] = 1.0, 0.0, 2.0
  truth, ranks = Truth.of(y, SECTIONS), (1, 2, 8)
  want = [truth.correlation(scores[:, :rank] @ loadings[:rank]) for rank in ranks]
  got = truth.correlation_by_rank(scores, loadings, ranks)
  np.testing.assert_allclose(got, want, atol=1e-5)
