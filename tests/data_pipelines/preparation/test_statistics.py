"""The tables of a section against a few lines of dense NumPy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse

from data_pipelines.preparation import statistics
from hibio import pathways
from hibio.batch import SectionStatistics


@pytest.fixture(scope="module")
def case():
  rng = np.random.default_rng(0)
  # 700 spots: more than one chunk.
  dense = rng.poisson(rng.gamma(0.3, 4.0, 30), (700, 30))
  measured = np.ones(30, bool)
  measured[[3, 17]] = False
  dense[:, ~measured] = 0
  dense[:, 5] = 0  # measured, never seen
  membership = rng.random((4, 30)) < 0.3
  membership[3] = False
  membership[3, [3, 17, 20]] = True  # one measured member: too few
  return dense, measured, membership


def dense_z(dense, measured):
  logs = np.log1p(1e4 * dense / np.maximum(dense.sum(1, keepdims=True), 1))
  z = (logs - logs.mean(0)) / np.maximum(logs.std(0), 0.1)
  return logs, np.clip(np.where(measured, z, 0), -10, 10)


def test_a_sections_table_matches_dense_numpy(case):
  dense, measured, membership = case
  logs, z = dense_z(dense, measured)
  table = statistics.section_table(scipy.sparse.csr_matrix(dense), measured, membership)
  np.testing.assert_array_equal(table.document_frequency, (dense > 0).sum(0))
  np.testing.assert_allclose(
    table.mean_fraction, (dense / dense.sum(1, keepdims=True)).mean(0), rtol=1e-6
  )
  np.testing.assert_allclose(table.log_mean, logs.mean(0), rtol=1e-6)
  np.testing.assert_allclose(table.log_std, logs.std(0), rtol=1e-5, atol=1e-6)
  members = membership & measured
  want = np.stack([z[:, own].mean(1) for own in members[:3]], 1) - z[:, measured].mean(
    1, keepdims=True
  )
  np.testing.assert_allclose(table.activity_mean[:3], want.mean(0), atol=1e-6)
  np.testing.assert_allclose(table.activity_std[:3], want.std(0), rtol=1e-5)


def test_activity_is_what_the_dense_form_gives(case):
  dense, measured, membership = case
  dense = dense.copy()
  dense[0, 0] = 100_000  # one z is clipped
  dense[1] = 0
  counts = scipy.sparse.csr_matrix(dense)
  table = statistics.section_table(counts, measured, membership)
  got = statistics.activity(counts, measured, table.log_mean, table.log_std, membership)
  z = statistics.standardised(counts, measured, table.log_mean, table.log_std)
  z = np.concatenate(list(z))
  members = membership[:3] & measured
  want = z @ members.T / members.sum(1) - z.sum(1, keepdims=True) / measured.sum()
  np.testing.assert_allclose(got[:, :3], want, atol=1e-6)  # float32 tables


def test_a_pathway_with_too_few_measured_genes_scores_zero(case):
  dense, measured, membership = case
  table = statistics.section_table(scipy.sparse.csr_matrix(dense), measured, membership)
  assert (table.activity_mean[3], table.activity_std[3]) == (0, 1)
  scores = statistics.activity(
    scipy.sparse.csr_matrix(dense), measured, table.log_mean, table.log_std, membership
  )
  assert not scores[:, 3].any()
  assert scores[:, 0].any()


def test_an_empty_spot_and_a_constant_gene_stay_finite(case):
  _, measured, membership = case
  counts = np.zeros((5, 30), np.int32)
  counts[1:, 0] = 3
  table = statistics.section_table(scipy.sparse.csr_matrix(counts), measured, membership)
  assert all(np.isfinite(getattr(table, f.name)).all() for f in dataclasses.fields(table))
  assert table.activity_std.min() >= 1e-3


def test_the_corpus_background_comes_from_training_sections_that_measure_the_gene(case):
  dense, measured, membership = case
  whole = np.ones(30, bool)
  tables = [
    statistics.section_table(scipy.sparse.csr_matrix(counts), genes, membership)
    for counts, genes in ((dense[:100], measured), (dense[100:400], whole), (dense[400:], whole))
  ]
  got = statistics.corpus_statistics(tables, np.array([True, True, False]))
  share = [(t.document_frequency + 1) / (t.num_spots + 2) for t in tables]
  np.testing.assert_allclose(got["corpus_document_share"][0], (share[0][0] + share[1][0]) / 2)
  np.testing.assert_allclose(got["corpus_document_share"][3], share[1][3])
  np.testing.assert_allclose(
    got["corpus_mean_fraction"][0], (tables[0].mean_fraction[0] + tables[1].mean_fraction[0]) / 2
  )


def test_a_gene_that_nobody_measures_carries_no_weight(case):
  dense, measured, membership = case
  table = statistics.section_table(scipy.sparse.csr_matrix(dense), measured, membership)
  got = statistics.corpus_statistics([table], np.array([False]))
  assert (got["corpus_document_share"][3], got["corpus_mean_fraction"][3]) == (1, 0)
  assert got["corpus_mean_fraction"][0] == table.mean_fraction[0]


def test_the_tables_have_exactly_the_fields_that_the_model_reads(case):
  dense, measured, membership = case
  table = statistics.section_table(scipy.sparse.csr_matrix(dense), measured, membership)
  fields = statistics.corpus_statistics([table, table], np.array([True, False]))
  got = SectionStatistics(**fields, corpus_spatial=np.zeros(30, np.float32))
  assert got.measured.shape == (2, 30)
  assert got.activity_std.shape == (2, 4)
  assert {np.asarray(v).dtype for v in vars(got).values()} == {np.dtype(bool), np.dtype("float32")}


def test_the_device_computes_the_same_activity_as_the_tables(case):
  dense, measured, membership = case
  counts = scipy.sparse.csr_matrix(dense)
  table = statistics.section_table(counts, measured, membership)
  stacked = SectionStatistics(
    **statistics.corpus_statistics([table], np.array([True])),
    corpus_spatial=np.zeros(30, np.float32),
  )
  stacked = jax.tree.map(jnp.asarray, stacked)
  got = pathways.standardised_activity(
    jnp.asarray(dense[None, :50], jnp.int32), stacked, jnp.asarray(membership), jnp.zeros(1, int)
  )
  scores = statistics.activity(counts, measured, table.log_mean, table.log_std, membership)
  want = (scores - table.activity_mean) / table.activity_std
  np.testing.assert_allclose(got[0], want[:50], atol=2e-3)  # float32 against float64


@pytest.mark.parametrize("size", [1, 37, 512, 699, 10_000])
def test_a_table_is_the_same_to_the_last_bit_however_the_spots_are_cut(case, size):
  dense, measured, membership = case
  # Gene 0 has the same share of every spot: its deviation is nothing but rounding, which shows any
  # difference in the order of the sums.
  dense = dense.copy()
  dense[:, 0] = 7
  dense[:, 1] += dense.sum(1).max() - dense.sum(1)
  counts = scipy.sparse.csr_matrix(dense)
  want = statistics.section_table(counts, measured, membership)

  def pieces():
    return (counts[start : start + size] for start in range(0, counts.shape[0], size))

  got = statistics.streamed_table(pieces, measured, membership)
  for field in dataclasses.fields(want):
    np.testing.assert_array_equal(getattr(got, field.name), getattr(want, field.name))
