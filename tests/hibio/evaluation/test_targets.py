import numpy as np
import pytest

from hibio.evaluation.gene_lists import TARGETS, log1p_cp10k, log1p_raw


def test_raw_values_grow_with_depth_and_normalised_ones_do_not(cohort):
  twice = 2 * cohort.counts
  np.testing.assert_allclose(
    log1p_cp10k(twice).toarray(), log1p_cp10k(cohort.counts).toarray(), rtol=1e-5
  )
  assert (log1p_raw(twice) - log1p_raw(cohort.counts)).sum() > 100


def test_normalised_values_equal_those_of_the_cohort(cohort):
  got = log1p_cp10k(cohort.counts).toarray()
  np.testing.assert_allclose(got, cohort.log_expression(), rtol=1e-5)
  np.testing.assert_allclose(np.expm1(got).sum(1), 1e4, rtol=1e-4)


@pytest.mark.parametrize("name", TARGETS)
def test_an_empty_spot_stays_empty(cohort, name):
  counts = cohort.counts.copy().tolil()
  counts[0] = 0
  assert TARGETS[name](counts.tocsr())[[0]].nnz == 0
