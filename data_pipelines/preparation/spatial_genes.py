"""How much of a gene lies in patterns over the tissue: Moran's I above what chance would give.

A gene that is high in some places and low in others says where a spot lies; one that varies from
spot to spot without order is noise to a reader of single spots, and one that never varies says
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float

from data_pipelines.preparation.regions import touching
from data_pipelines.preparation.statistics import log_expression

_GENES = 2048
"""Genes worked on at a time."""

_SIGNIFICANT = 2.0
"""Standard deviations of chance that do not count as a pattern."""


def morans_i(
  values: scipy.sparse.csr_matrix, graph: scipy.sparse.csr_matrix
) -> Float[np.ndarray, " gene"]:
  """Moran's I of each column over the graph's edges; 0 for columns that do not vary.

  Args:
    graph: symmetric, spots that touch.

  References:
    Moran 1950, doi:10.2307/2332142; every edge weighs the same.
  """
  spots, genes = values.shape
  edges = float(graph.nnz)
  if not edges:
    return np.zeros(genes)
  weights = graph.astype(np.float64)
  degree = np.asarray(weights.sum(axis=1)).ravel()
  mean = np.asarray(values.mean(axis=0)).ravel()
  square = np.asarray(values.multiply(values).mean(axis=0)).ravel()
  variance = square - mean**2
  products = np.zeros(genes)
  columns = values.tocsc()
  for start in range(0, genes, _GENES):
    part = columns[:, start : start + _GENES]
    around = part.multiply(weights @ part).sum(axis=0)
    products[start : start + _GENES] = np.asarray(around).ravel()
  # sum_ij w_ij (x_i - m)(x_j - m), without making the centred matrix, which is dense.
  crossed = products - 2.0 * mean * (values.T @ degree) + mean**2 * edges
  flat = variance <= 1e-9 * np.maximum(square, 1e-12)
  return np.where(flat, 0.0, crossed / edges / np.where(flat, 1.0, variance))


def spatial_excess(
  counts: scipy.sparse.csr_matrix, positions_um: Float[np.ndarray, "spot 2"]
) -> Float[np.ndarray, " gene"]:
  """Moran's I of each gene's log expression, less two standard deviations of chance; at least 0."""
  graph, _ = touching(positions_um)
  pairs = max(graph.nnz / 2, 1.0)
  expected = -1.0 / max(counts.shape[0] - 1, 1)
  found = morans_i(log_expression(counts), graph)
  return np.clip(found - expected - _SIGNIFICANT / np.sqrt(pairs), 0.0, 1.0).astype(np.float32)


def over_sections(
  excess: Sequence[Float[np.ndarray, " gene"]],
  measured: Bool[np.ndarray, "section gene"],
  training: Bool[np.ndarray, " section"],
) -> Float[np.ndarray, " gene"]:
  """Mean over the training sections that measure a gene; over all sections where none is marked.

  Sections agree on what is patterned far better than one section can tell, and a list of genes of
  its own would give each section away.
  """
  chosen = measured & (training if training.any() else np.ones_like(training))[:, None]
  chosen = np.where(chosen.any(axis=0), chosen, measured)
  total = np.where(chosen, np.stack(excess), 0.0).sum(axis=0)
  return (total / np.maximum(chosen.sum(axis=0), 1)).astype(np.float32)
