from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

from data_pipelines.preparation import spatial_genes
from data_pipelines.preparation.regions import touching
from data_pipelines.preparation.spatial_genes import expected_morans_i, morans_i


@pytest.fixture(scope="module")
def lattice():
  x, y = np.meshgrid(np.arange(9.0), np.arange(7.0))
  positions = 100 * np.stack([x.ravel(), y.ravel()], axis=1)
  return positions, touching(positions)[0]


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
