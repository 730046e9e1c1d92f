"""How spatial a quantity is: Moran's I, for thousands of genes at once, sparse or dense."""

from __future__ import annotations

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float

from data_pipelines.preparation import statistics
from data_pipelines.preparation.spot_graph import spot_graph

_COLUMNS = 2048
"""Columns worked on at a time."""


def morans_i(
  values: Float[np.ndarray, "spot column"] | scipy.sparse.csr_matrix,
  graph: scipy.sparse.csr_matrix,
) -> Float[np.ndarray, " column"]:
  """Moran's I of each column over one section; not-a-number where a column is constant.

  Near 1 where neighbours are alike, negative where they differ, -1 / (spots - 1) on average where
  values lie anywhere. Every pair of neighbours weighs the same.

  Args:
    graph: symmetric, True for spots that touch, as `spot_graph` gives it.

  References:
    Moran 1950, doi:10.1093/biomet/37.1-2.17.
  """
  values = scipy.sparse.csr_matrix(values, dtype=np.float64)
  weights = scipy.sparse.csr_matrix(graph, dtype=np.float64)
  total = weights.sum()
  if not total:
    return np.full(values.shape[1], np.nan)
  mean = np.asarray(values.mean(axis=0)).ravel()
  square = np.asarray(values.multiply(values).mean(axis=0)).ravel()
  # A constant column must not come out as a ratio of rounding errors.
  varies = square - mean**2 > 1e-12 * np.maximum(square, 1e-300)
  columns = values.tocsc()
  around = np.concatenate(
    [
      np.asarray(part.multiply(weights @ part).sum(axis=0)).ravel()
      for start in range(0, values.shape[1], _COLUMNS)
      for part in [columns[:, start : start + _COLUMNS]]
    ]
    or [np.zeros(0)]
  )
  # sum_ij w_ij (x_i - m)(x_j - m) without the centred matrix, which would be dense.
  degree = np.asarray(weights.sum(axis=1)).ravel()
  crossed = around - 2.0 * mean * (values.T @ degree) + mean**2 * total
  ratio = crossed / total / np.where(varies, square - mean**2, 1.0)
  return np.where(varies, ratio, np.nan)


def expected_morans_i(num_spots: int) -> float:
  """Mean of Moran's I over all ways to lay the same values out on the spots."""
  return -1.0 / (num_spots - 1)


EXCESS = "spatial_excess"
"""Name of the table that holds `spatial_excess` of every section."""

_SIGNIFICANT = 2.0
"""Standard deviations of chance that do not count as a pattern."""


def spatial_excess(
  counts: scipy.sparse.csr_matrix, positions_um: Float[np.ndarray, "spot 2"]
) -> Float[np.ndarray, " gene"]:
  """Moran's I of each gene's log expression, less two standard deviations of chance; at least 0."""
  graph, _ = spot_graph(positions_um)
  pairs = max(graph.nnz / 2, 1.0)
  found = morans_i(statistics.log_expression(counts), graph) - expected_morans_i(
    max(counts.shape[0], 2)
  )
  excess = np.nan_to_num(found) - _SIGNIFICANT / np.sqrt(pairs)
  return np.clip(excess, 0.0, 1.0).astype(np.float32)


def over_sections(
  excess: Float[np.ndarray, "section gene"],
  measured: Bool[np.ndarray, "section gene"],
  training: Bool[np.ndarray, " section"],
) -> Float[np.ndarray, " gene"]:
  """Mean over the training sections that measure a gene; over all sections where none is marked.

  Sections agree on what is patterned far better than one section can tell, and a list of genes of
  its own would give each section away.
  """
  return statistics.over_sections(excess, measured, training, 0.0)
