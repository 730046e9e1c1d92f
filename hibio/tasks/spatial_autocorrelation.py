"""How spatial a quantity is: Moran's I, for thousands of genes at once."""

from __future__ import annotations

import numpy as np
import scipy.sparse
from jaxtyping import Float


def morans_i(
  values: Float[np.ndarray, "spot column"], graph: scipy.sparse.csr_matrix
) -> Float[np.ndarray, " column"]:
  """Moran's I of each column over one section; not-a-number where a column is constant.

  Near 1 where neighbours are alike, negative where they differ, -1 / (spots - 1) on average where
  values lie anywhere. Every pair of neighbours weighs the same.

  Args:
    graph: symmetric, True for spots that touch, as `data_pipelines.preparation.regions.touching`
      gives it.

  References:
    Moran 1950, doi:10.1093/biomet/37.1-2.17.
  """
  weights = scipy.sparse.csr_matrix(graph, dtype=np.float64)
  centred = values.astype(np.float64) - values.mean(0, dtype=np.float64)
  squares = (centred**2).sum(0)
  total = weights.sum()
  # A constant column must not come out as a ratio of rounding errors.
  varies = squares > 1e-12 * np.maximum((values.astype(np.float64) ** 2).sum(0), 1e-300)
  if not total:
    return np.full(values.shape[1], np.nan)
  crossed = (centred * (weights @ centred)).sum(0)
  ratio = len(values) / total * crossed / np.where(varies, squares, 1.0)
  return np.where(varies, ratio, np.nan)


def expected_morans_i(num_spots: int) -> float:
  """Mean of Moran's I over all ways to lay the same values out on the spots."""
  return -1.0 / (num_spots - 1)
