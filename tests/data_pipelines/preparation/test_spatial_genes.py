"""Moran's I is that of the textbook, and tells genes with a pattern over the tissue from others."""

import numpy as np
import pytest
import scipy.sparse

from data_pipelines.preparation import spatial_genes
from data_pipelines.preparation.spatial_genes import expected_morans_i, morans_i
from data_pipelines.preparation.spot_graph import spot_graph


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
  excess = np.array([[0.4, 0.2, 0.0], [0.2, 0.9, 0.5], [0.9, 0.9, 0.9]])
  measured = np.array([[True, True, False], [True, False, False], [True, True, True]])
  got = spatial_genes.over_sections(excess, measured, np.array([True, True, False]))
  # Gene 2 is measured in no training section: the others speak for it.
  np.testing.assert_allclose(got, [0.3, 0.2, 0.9], rtol=1e-6)


@pytest.fixture(scope="module")
def lattice():
  x, y = np.meshgrid(np.arange(9.0), np.arange(7.0))
  positions = 100 * np.stack([x.ravel(), y.ravel()], axis=1)
  return positions, spot_graph(positions)[0]


def _reference(values, weights):
  """Moran's I of one column, term by term."""
  z = values - values.mean()
  pairs = [(i, j) for i in range(len(z)) for j in range(len(z)) if weights[i, j]]
  return len(z) / len(pairs) * sum(z[i] * z[j] for i, j in pairs) / sum(z**2)


@pytest.mark.parametrize("columns", [2, 2048])
def test_every_column_is_the_sum_over_touching_pairs(lattice, columns, monkeypatch):
  monkeypatch.setattr(spatial_genes, "_COLUMNS", columns)
  positions, graph = lattice
  rng = np.random.default_rng(0)
  values = np.stack([positions[:, 0], rng.normal(size=63), rng.poisson(0.3, 63)], axis=1)
  dense = graph.toarray()
  want = [_reference(column, dense) for column in values.T]
  np.testing.assert_allclose(morans_i(values, graph), want, rtol=1e-9)
  sparse = scipy.sparse.csr_matrix(values)
  np.testing.assert_allclose(morans_i(sparse, graph), want, rtol=1e-9)


def test_a_gradient_is_spatial_and_a_chessboard_is_the_opposite(lattice):
  positions, _ = lattice
  squares = positions / 100
  # Neighbours across edges alone: diagonal ones have the same colour on a chessboard.
  apart = np.abs(squares[:, None] - squares[None]).sum(-1)
  graph = scipy.sparse.csr_matrix(apart == 1)
  chessboard = (squares.sum(1) % 2)[:, None]
  gradient, board = morans_i(np.concatenate([positions[:, :1], chessboard], axis=1), graph)
  assert gradient > 0.8
  assert board == pytest.approx(-1.0, abs=0.01)


def test_shuffled_values_average_to_what_theory_expects(lattice):
  _, graph = lattice
  rng = np.random.default_rng(1)
  values = rng.gamma(0.5, size=63)
  draws = morans_i(np.stack([rng.permutation(values) for _ in range(4000)], axis=1), graph)
  error = draws.std() / np.sqrt(len(draws))
  assert abs(draws.mean() - expected_morans_i(63)) < 4 * error
  assert expected_morans_i(63) < -4 * error  # it is told from 0


def test_a_constant_column_has_no_morans_i_and_islands_have_none_either(lattice):
  _, graph = lattice
  assert np.isnan(morans_i(np.full((63, 1), 0.1), graph)).all()
  alone = scipy.sparse.csr_matrix((63, 63), dtype=bool)
  assert np.isnan(morans_i(np.arange(63.0)[:, None], alone)).all()
