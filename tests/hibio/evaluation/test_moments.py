import numpy as np
import pytest
from scipy import stats

from hibio.evaluation.expression_scores import moments, pearson, total, variances


@pytest.fixture
def values():
  rng = np.random.default_rng(0)
  truth = np.log1p(rng.poisson(2, (90, 12))).astype(np.float32)
  return truth, (truth + rng.normal(0, 1, truth.shape) + 30).astype(np.float32)


def test_pearson_equals_scipy(values):
  truth, predicted = values
  want = [stats.pearsonr(truth[:, g], predicted[:, g])[0] for g in range(12)]
  np.testing.assert_allclose(pearson(moments(truth, predicted)), want, atol=1e-6)


def test_moments_of_parts_add_up_to_those_of_all_spots(values):
  truth, predicted = values
  parts = [moments(truth[rows], predicted[rows]) for rows in np.split(np.arange(90), [7, 40])]
  whole = moments(truth, predicted)
  assert total(parts).count == whole.count
  np.testing.assert_allclose(pearson(total(parts)), pearson(whole), atol=1e-12)
  np.testing.assert_allclose(variances(whole), (truth.var(0), predicted.var(0)), rtol=1e-5)


def test_a_constant_truth_is_undefined_and_a_constant_prediction_scores_zero(values):
  truth, predicted = values
  truth[:, 0], predicted[:, 1] = 1.7, 1.7
  found = pearson(moments(truth, predicted))
  assert np.isnan(found[0])
  assert found[1] == 0
  assert np.isfinite(found[1:]).all()


def test_a_gene_seen_in_one_spot_only_is_not_constant():
  truth = np.zeros((5000, 1), np.float32)
  truth[0] = 1
  assert pearson(moments(truth, truth))[0] == pytest.approx(1)
