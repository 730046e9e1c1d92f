"""Whether regions are what they promise to be."""

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int
from scipy.sparse.csgraph import connected_components

from data_pipelines.preparation.spot_graph import spot_graph


def check_regions(
  regions: Int[np.ndarray, "level spot"], positions_um: Float[np.ndarray, "spot 2"]
) -> list[str]:
  """What is wrong with one section's regions, a sentence each; empty if they are sound."""
  graph, _ = spot_graph(positions_um)
  problems = []
  for level, ids in enumerate(regions):
    edges = graph.tocoo()
    inside = ids[edges.row] == ids[edges.col]
    kept = scipy.sparse.csr_matrix(
      (edges.data[inside], (edges.row[inside], edges.col[inside])), shape=graph.shape
    )
    pieces = connected_components(kept, directed=False)[0]
    if pieces != len(np.unique(ids)):
      problems.append(f"level {level}: {len(np.unique(ids))} regions are in {pieces} pieces")
  for level in range(len(regions) - 1):
    fine, coarse = regions[level], regions[level + 1]
    pairs = np.unique(np.stack([fine, coarse]), axis=1).shape[1]
    if pairs != len(np.unique(fine)):
      problems.append(f"level {level}: a region lies in several regions of level {level + 1}")
  return problems
