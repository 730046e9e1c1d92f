"""Shares, logs and standardised values against the tables' own NumPy and against their meaning."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse

from data_pipelines.preparation import statistics
from hibio import expression


@pytest.fixture(scope="module")
def section():
  """Counts of 40 spots over 30 genes, of which the last 5 are not measured."""
  rng = np.random.default_rng(0)
  counts = rng.poisson(rng.lognormal(0, 1.5, 30), (40, 30)).astype(np.int32)
  measured = np.arange(30) < 25
  counts[:, ~measured] = 0
  table = statistics.section_table(
    scipy.sparse.csr_matrix(counts), measured, np.ones((1, 30), bool)
  )
  return counts, measured, table


def test_shares_of_a_spot_sum_to_1_and_those_of_an_empty_spot_are_0(section):
  counts, measured, _ = section
  counts = counts.copy()
  counts[3] = 0
  shares = np.asarray(
    expression.fraction(jnp.asarray(counts)[None], jnp.asarray(measured)[None, None])
  )
  np.testing.assert_allclose(np.delete(shares[0].sum(-1), 3), 1.0, rtol=1e-6)
  assert (shares[0, 3] == 0).all()


def test_a_gene_that_is_not_measured_takes_no_share_whatever_stands_there(section):
  counts, measured, _ = section
  garbage = np.where(measured, counts, 1000).astype(np.int32)
  known = jnp.asarray(measured)[None, None]
  want = expression.fraction(jnp.asarray(counts)[None], known)
  np.testing.assert_array_equal(expression.fraction(jnp.asarray(garbage)[None], known), want)


def test_standardised_values_equal_those_the_tables_were_made_with(section):
  counts, measured, table = section
  got = expression.standardised(
    jnp.asarray(counts)[None],
    jnp.asarray(measured)[None, None],
    jnp.asarray(table.log_mean)[None, None],
    jnp.asarray(table.log_std)[None, None],
  )
  want = np.concatenate(
    list(
      statistics.standardised(
        scipy.sparse.csr_matrix(counts), measured, table.log_mean, table.log_std
      )
    )
  )
  np.testing.assert_allclose(got[0], want, rtol=1e-4, atol=1e-4)  # float32 against float64
  assert (np.asarray(got)[0][:, ~measured] == 0).all()


def test_standardised_values_of_a_section_have_mean_0_and_deviation_1(section):
  counts, measured, table = section
  got = np.asarray(
    expression.standardised(
      jnp.asarray(counts)[None],
      jnp.asarray(measured)[None, None],
      jnp.asarray(table.log_mean)[None, None],
      jnp.asarray(table.log_std)[None, None],
    )
  )[0]
  varying = measured & (table.log_std > expression.MIN_LOG_STD) & (np.abs(got).max(0) < 10)
  assert varying.sum() > 10
  np.testing.assert_allclose(got[:, varying].mean(0), 0.0, atol=1e-4)
  np.testing.assert_allclose(got[:, varying].std(0), 1.0, rtol=1e-4)


def test_a_gene_that_hardly_varies_is_not_blown_up():
  got = expression.standardised(
    jnp.array([[[9, 1]]]),
    jnp.ones((1, 1, 2), bool),
    jnp.zeros((1, 1, 2)),
    jnp.full((1, 1, 2), 1e-6),
  )
  assert float(jnp.abs(got).max()) == expression.MAX_Z
