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

from data_pipelines.preparation import statistics
from data_pipelines.preparation.touching import touching
from data_pipelines.spatial_autocorrelation import expected_morans_i, morans_i

_SIGNIFICANT = 2.0
"""Standard deviations of chance that do not count as a pattern."""


def spatial_excess(
  counts: scipy.sparse.csr_matrix, positions_um: Float[np.ndarray, "spot 2"]
) -> Float[np.ndarray, " gene"]:
  """Moran's I of each gene's log expression, less two standard deviations of chance; at least 0."""
  graph, _ = touching(positions_um)
  pairs = max(graph.nnz / 2, 1.0)
  found = morans_i(statistics.log_expression(counts), graph) - expected_morans_i(
    max(counts.shape[0], 2)
  )
  excess = np.nan_to_num(found) - _SIGNIFICANT / np.sqrt(pairs)
  return np.clip(excess, 0.0, 1.0).astype(np.float32)


def over_sections(
  excess: Sequence[Float[np.ndarray, " gene"]],
  measured: Bool[np.ndarray, "section gene"],
  training: Bool[np.ndarray, " section"],
) -> Float[np.ndarray, " gene"]:
  """Mean over the training sections that measure a gene; over all sections where none is marked.

  Sections agree on what is patterned far better than one section can tell, and a list of genes of
  its own would give each section away.
  """
  return statistics.over_sections(np.stack(excess), measured, training, 0.0)
