"""C7: regions of half a million bins, against Ward clustering of scikit-learn on the same graph.

  python -m experiments.benchmarks.regions

Both cut a smooth field with noise, 30 values a bin of a square grid, into regions of about 250
bins. The same means: as many regions, as much variance explained up to 0.01, one piece each.
"""

from __future__ import annotations

import resource

import numpy as np
import scipy.sparse
from scipy.ndimage import gaussian_filter
from scipy.sparse.csgraph import connected_components

from data_pipelines.preparation.reciprocal_ward import reciprocal_ward
from data_pipelines.preparation.spot_graph import spot_graph
from experiments.benchmarks import side_by_side
from experiments.benchmarks.side_by_side import Case, Pair

WIDTH, SPOTS, MOST_BYTES = 30, 250, 4 << 30


class Regions:
  """Regions of a field, and what they are worth."""

  def __init__(self, values: np.ndarray, graph: scipy.sparse.csr_matrix, ids: np.ndarray):
    self.number = int(ids.max()) + 1
    means = np.stack([np.bincount(ids, column) for column in values.T], 1)
    means /= np.bincount(ids)[:, None]
    left = ((values - means[ids]) ** 2).sum() / ((values - values.mean(0)) ** 2).sum()
    self.explained = 1.0 - float(left)
    edges = graph.tocoo()
    inside = ids[edges.row] == ids[edges.col]
    within = scipy.sparse.csr_matrix(
      (edges.data[inside], (edges.row[inside], edges.col[inside])), shape=graph.shape
    )
    self.pieces = int(connected_components(within, directed=False)[0])


def _of(side: int):
  def both(quick: bool) -> Pair:
    from sklearn.cluster import AgglomerativeClustering

    values, graph = field(50 if quick else side)
    number = len(values) // SPOTS

    def theirs() -> np.ndarray:
      ward = AgglomerativeClustering(number, linkage="ward", connectivity=graph)
      return ward.fit_predict(values)

    return tuple(
      lambda cut=cut: (values, graph, cut())
      for cut in (lambda: reciprocal_ward(values, graph, number), theirs)
    )

  return both


def field(side: int) -> tuple[np.ndarray, scipy.sparse.csr_matrix]:
  """(values, which bins touch) of a square of bins."""
  rng = np.random.default_rng(0)
  smooth = np.stack([gaussian_filter(rng.normal(size=(side, side)), 6) for _ in range(WIDTH)], -1)
  values = smooth.reshape(-1, WIDTH) / smooth.std() + rng.normal(size=(side**2, WIDTH))
  return values, spot_graph(np.stack(np.divmod(np.arange(side**2), side), 1).astype(float))[0]


def _same_worth(ours: tuple, theirs: tuple) -> None:
  ours, theirs = Regions(*ours), Regions(*theirs)
  assert ours.number == theirs.number, f"{ours.number} and {theirs.number} regions"
  assert ours.pieces == ours.number, f"{ours.pieces} pieces of {ours.number} regions"
  assert ours.explained >= theirs.explained - 0.01, f"{ours.explained}, not {theirs.explained}"
  most = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  assert most < MOST_BYTES, f"{most / 1e9:.1f} GB"


CASES = (
  Case("C7 regions of 50,000 bins", "scikit-learn Ward", goal=8.0, of=_of(224), same=_same_worth),
  Case(
    "C7 regions of 500,000 bins", "scikit-learn Ward", goal=8.0, of=_of(708), same=_same_worth,
    rounds=3,
  ),
)  # fmt: skip

if __name__ == "__main__":
  side_by_side.run(__doc__, CASES)
