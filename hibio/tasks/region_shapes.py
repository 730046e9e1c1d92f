"""Are nested regions what they are called: in one piece, one inside the other, of even size?"""

from __future__ import annotations

import numpy as np
import scipy.sparse
from jaxtyping import Int
from scipy.sparse.csgraph import connected_components


def in_one_piece(ids: Int[np.ndarray, " spot"], graph: scipy.sparse.csr_matrix) -> float:
  """Share of a section's regions whose spots hang together.

  Args:
    graph: True for spots that touch.
  """
  edges = scipy.sparse.coo_matrix(graph)
  inside = ids[edges.row] == ids[edges.col]
  kept = scipy.sparse.csr_matrix(
    (np.ones(inside.sum(), bool), (edges.row[inside], edges.col[inside])), shape=graph.shape
  )
  piece = connected_components(kept, directed=False)[1]
  pieces = np.unique(np.stack([ids, piece]), axis=1)[0]
  return float((np.unique(pieces, return_counts=True)[1] == 1).mean())


def nested(fine: Int[np.ndarray, " spot"], coarse: Int[np.ndarray, " spot"]) -> float:
  """Share of the finer regions that lie in a single coarser one."""
  parents = np.unique(np.stack([fine, coarse]), axis=1)[0]
  return float((np.unique(parents, return_counts=True)[1] == 1).mean())


def sizes(ids: Int[np.ndarray, " spot"]) -> Int[np.ndarray, " region"]:
  """Spots of each region."""
  return np.unique(ids, return_counts=True)[1]
