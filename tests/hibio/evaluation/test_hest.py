import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import Ridge

from hibio.evaluation import expression_probes
from hibio.evaluation.expression_scores import moments, pearson

SPOTS = pd.DataFrame()
"""Neither of these probes asks where a fitting spot comes from."""


@pytest.fixture(scope="module")
def problem():
  """Features of decaying spread, a target that follows them, and spots that were not fitted on."""
  rng = np.random.default_rng(0)
  features = rng.normal(size=(500, 40)) * np.linspace(1, 0.5, 40)[None]
  signal = features @ rng.normal(size=(40, 15))
  targets = np.log1p(rng.poisson(np.exp(0.5 * signal + 1))).astype(np.float32)
  features = features.astype(np.float32)
  return features[:400], targets[:400], features[400:], targets[400:]


def _independent(fit, targets, test):
  """The recipe from its description: closed-form ridge without intercept on SVD scores."""
  mean, sd = fit.mean(0), fit.std(0)
  fit, test = (fit - mean) / sd, (test - mean) / sd
  axes = np.linalg.svd(fit, full_matrices=False)[2].T
  fit, test = fit @ axes, test @ axes
  alpha = 100 / (fit.shape[1] * targets.shape[1])
  return test @ np.linalg.solve(fit.T @ fit + alpha * np.eye(fit.shape[1]), fit.T @ targets)


def test_the_readme_recipe_equals_an_independent_one(problem):
  fit, targets, test, truth = problem
  got, note = expression_probes.hest_readme(fit, SPOTS, test)(targets)
  want = _independent(fit.astype(float), targets, test.astype(float))
  np.testing.assert_allclose(got, want, atol=2e-4 * np.ptp(want))  # LSQR stops at 1e-4
  got_score = pearson(moments(truth, got))
  for prediction, atol in ((got, 1e-6), (want, 1e-4)):
    scores = [stats.pearsonr(truth[:, g], prediction[:, g])[0] for g in range(15)]
    np.testing.assert_allclose(got_score, scores, atol=atol)
  assert note.startswith("PCA to 40, not 256; ")
  np.testing.assert_allclose(
    expression_probes.hest_readme(fit, SPOTS, fit)(targets)[0].mean(0), 0, atol=1e-4
  )


def test_a_wide_embedding_is_cut_to_256_components_without_a_remark():
  rng = np.random.default_rng(0)
  fit = rng.normal(size=(300, 270)).astype(np.float32)
  targets = rng.normal(size=(300, 2)).astype(np.float32)
  predicted, note = expression_probes.hest_readme(fit, SPOTS, fit)(targets)
  assert "PCA" not in note
  assert np.linalg.matrix_rank(predicted) == 2
  assert np.abs(predicted - targets).max() > 0.1  # 270 components would fit 300 spots closer


def test_the_rotated_problem_takes_the_steps_of_the_whole_one(problem):
  fit, targets, _, _ = problem
  options = {"alpha": 0.1, "solver": "lsqr", "fit_intercept": False, "max_iter": 1000}
  whole = Ridge(**options).fit(fit.astype(np.float64), targets.astype(np.float64))
  small = Ridge(**options).fit(*expression_probes.rotated(fit, targets))
  np.testing.assert_allclose(small.n_iter_, whole.n_iter_, atol=1)
  np.testing.assert_allclose(small.coef_, whole.coef_, atol=1e-4)  # the tolerance of LSQR
  x, y = expression_probes.rotated(fit, targets)
  np.testing.assert_allclose(x.T @ x, fit.T.astype(float) @ fit, atol=1e-9)
  np.testing.assert_allclose(x.T @ y, fit.T.astype(float) @ targets, atol=1e-9)
  np.testing.assert_allclose(np.linalg.norm(y, axis=0), np.linalg.norm(targets, axis=0), rtol=1e-6)


def test_without_pca_the_raw_embedding_is_read_without_intercept(problem):
  fit, targets, test, _ = problem
  shifted = fit + 1
  got, _ = expression_probes.hest_no_pca(shifted, SPOTS, test + 1)(targets)
  alpha = 100 / (40 * 15)
  want = Ridge(alpha, solver="cholesky", fit_intercept=False).fit(shifted, targets)
  np.testing.assert_allclose(got, want.predict(test + 1), atol=3e-3)  # LSQR's tolerance
  assert (
    np.abs(expression_probes.hest_readme(shifted, SPOTS, test + 1)(targets)[0] - got).max() > 0.1
  )
