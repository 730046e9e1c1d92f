"""Activities against the tables' own NumPy, and what anchors are made of."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse

from data_pipelines.preparation import statistics
from hibio import pathways
from hibio.batch import SectionStatistics

GENES, SPOTS = 40, 50


@pytest.fixture(scope="module")
def membership():
  rng = np.random.default_rng(1)
  member = rng.random((6, GENES)) < 0.2
  member[:4, :4] = True
  member[5] = False
  member[5, [0, 1, 38, 39]] = True  # only two of its genes are measured
  return member


@pytest.fixture(scope="module")
def section(membership):
  rng = np.random.default_rng(0)
  counts = rng.poisson(rng.lognormal(0.5, 1.0, GENES), (SPOTS, GENES)).astype(np.int32)
  measured = np.arange(GENES) < 35
  counts[:, ~measured] = 0
  return scipy.sparse.csr_matrix(counts), measured


@pytest.fixture(scope="module")
def tables(section, membership):
  return SectionStatistics(
    **statistics.corpus_statistics(
      [statistics.section_table(*section, membership)], np.ones(1, bool)
    ),
    corpus_spatial=np.zeros(membership.shape[1], np.float32),
  )


def test_activities_equal_those_the_tables_were_made_with(section, membership, tables):
  counts, measured = section
  table = statistics.section_table(counts, measured, membership)
  want = statistics.activity(counts, measured, table.log_mean, table.log_std, membership)
  want = (want - table.activity_mean) / table.activity_std
  got = pathways.standardised_activity(
    jnp.asarray(counts.toarray())[None], tables, jnp.asarray(membership), jnp.array([0])
  )
  np.testing.assert_allclose(got[0], want, rtol=1e-3, atol=1e-3)  # float32 against float64


def test_activities_of_a_section_have_mean_0_and_deviation_1(section, membership, tables):
  got = np.asarray(
    pathways.standardised_activity(
      jnp.asarray(section[0].toarray())[None], tables, jnp.asarray(membership), jnp.array([0])
    )
  )[0]
  np.testing.assert_allclose(got[:, :5].mean(0), 0.0, atol=1e-4)
  np.testing.assert_allclose(got[:, :5].std(0), 1.0, rtol=1e-3)


def test_a_pathway_with_two_measured_genes_says_nothing(section, membership, tables):
  known = pathways.measured_pathways(tables, jnp.asarray(membership), jnp.array([0]))
  assert np.asarray(known).tolist() == [[True] * 5 + [False]]
  got = pathways.standardised_activity(
    jnp.asarray(section[0].toarray())[None], tables, jnp.asarray(membership), jnp.array([0])
  )
  assert (np.asarray(got)[..., 5] == 0).all()


def test_activity_does_not_rise_when_all_genes_rise_together(membership):
  rng = np.random.default_rng(2)
  expression = jnp.asarray(rng.normal(size=(1, 3, GENES)).astype(np.float32))
  everything = jnp.ones((1, GENES), bool)
  low = pathways.activity(expression, everything, jnp.asarray(membership))
  high = pathways.activity(expression + 2.0, everything, jnp.asarray(membership))
  np.testing.assert_allclose(low, high, atol=1e-5)


def test_an_anchor_is_made_of_rare_genes_that_few_pathways_share():
  membership = jnp.array([[True, True, True, False], [False, False, True, True]])
  weights = np.asarray(pathways.member_weights(membership, jnp.array([0.01, 1.0, 0.01, 0.5])))
  np.testing.assert_allclose(weights.sum(-1), 1.0, rtol=1e-6)
  np.testing.assert_allclose(weights[0, 0], 2 * weights[0, 2], rtol=1e-6)  # 2 is in both pathways
  assert weights[0, 1] < 0.01 * weights[0, 0]  # 1 is in every spot of the corpus
  assert weights[0, 3] == weights[1, 0] == 0.0


def test_a_pathway_of_ubiquitous_genes_still_has_an_anchor():
  weights = pathways.member_weights(jnp.array([[True, True]]), jnp.ones(2))
  np.testing.assert_allclose(weights, [[0.5, 0.5]], rtol=1e-6)
