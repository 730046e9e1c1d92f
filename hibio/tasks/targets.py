"""What "expression" means when it is predicted: the scale of the numbers, by name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse


def log1p_raw(counts: scipy.sparse.csr_matrix) -> scipy.sparse.csr_matrix:
  """log1p of raw counts, as HEST-Bench predicts: sequencing depth is part of the answer.

  References:
    Jaume et al. 2024, HEST-1k (arXiv:2406.16192).
  """
  return counts.astype(np.float32).log1p()


def log1p_cp10k(counts: scipy.sparse.csr_matrix) -> scipy.sparse.csr_matrix:
  """log1p of counts per 10,000 of the spot: depth is divided out. An empty spot stays empty."""
  totals = np.maximum(np.asarray(counts.sum(axis=1), np.float32).ravel(), 1.0)
  scaled = counts.astype(np.float32)
  scaled.data *= np.repeat(1e4 / totals, np.diff(scaled.indptr))
  return scaled.log1p()


TARGETS: dict[str, Callable[[scipy.sparse.csr_matrix], scipy.sparse.csr_matrix]] = {
  "log1p_raw": log1p_raw,
  "log1p_cp10k": log1p_cp10k,
}
"""Name -> raw counts of whole spots to what is predicted; zeros stay zeros."""
