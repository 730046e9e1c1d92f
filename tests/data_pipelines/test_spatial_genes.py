"""Genes with and without a pattern over the tissue are told apart."""

import numpy as np
import pytest
import scipy.sparse

from data_pipelines.preparation import spatial_genes


@pytest.fixture(scope="module")
def section():
  """A square lattice; gene 0 is high on the left, 1 to 30 are noise, 31 is the same everywhere."""
  rng = np.random.default_rng(0)
  positions = np.stack(np.meshgrid(np.arange(20), np.arange(15)), -1).reshape(-1, 2) * 100.0
  counts = rng.poisson(3.0, (len(positions), 32))
  counts[:, 0] = rng.poisson(np.where(positions[:, 0] < 1000, 12, 2))
  counts[:, 31] = 0
  return scipy.sparse.csr_matrix(counts), positions


def test_only_the_gene_with_a_pattern_stands_out_from_chance(section):
  excess = spatial_genes.spatial_excess(*section)
  assert excess[0] > 0.3
  assert (excess[1:] > 0).mean() < 0.15  # 2.3 % are expected
  assert excess[31] == 0


def test_where_spots_lie_matters_and_not_how_often_a_gene_is_seen(section):
  counts, positions = section
  shuffled = np.random.default_rng(1).permutation(positions)
  assert spatial_genes.spatial_excess(counts, shuffled)[0] < 0.05


@pytest.mark.parametrize("spots", [1, 2])
def test_a_section_of_hardly_any_spot_has_no_pattern(section, spots):
  counts, positions = section
  excess = spatial_genes.spatial_excess(counts[:spots], positions[:spots])
  assert np.isfinite(excess).all()
  assert not excess.any()


def test_the_mean_is_over_training_sections_that_measure_the_gene():
  excess = [np.array([0.4, 0.2, 0.0]), np.array([0.2, 0.9, 0.5]), np.array([0.9, 0.9, 0.9])]
  measured = np.array([[True, True, False], [True, False, False], [True, True, True]])
  got = spatial_genes.over_sections(excess, measured, np.array([True, True, False]))
  # Gene 2 is measured in no training section: the others speak for it.
  np.testing.assert_allclose(got, [0.3, 0.2, 0.9], rtol=1e-6)
