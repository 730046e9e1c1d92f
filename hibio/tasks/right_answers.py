"""What counts as a right answer in retrieval: the spot, a neighbour of it, a spot of its label."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree

from hibio.tasks.nearest_spots import spacing_um
from hibio.tasks.paired_spots import PairedSpots
from hibio.tasks.ranking import Target

SPACINGS = 1.5
"""A neighbour lies within so many spacings: 150 um on Visium, 300 um on legacy arrays."""


def own(spots: PairedSpots) -> Target:
  """The spot itself."""

  def hits(rows: Int[np.ndarray, " query"]) -> Bool[np.ndarray, "query item"]:
    mask = np.zeros((len(rows), len(spots)), bool)
    mask[np.arange(len(rows)), rows] = True
    return mask

  return Target(hits, np.ones(len(spots), bool))


def near(spots: PairedSpots, reach: Float[np.ndarray, " section"]) -> Target:
  """The spot and those of its section within reach."""
  n = len(spots)
  pairs = [np.stack([np.arange(n)] * 2)]
  for number, start in enumerate(spots.starts):
    tree = cKDTree(spots.positions_um[spots.section == number])
    found = tree.query_pairs(reach[number], output_type="ndarray").T + start
    pairs += [found, found[::-1]]
  rows, columns = np.concatenate(pairs, axis=1)
  graph = csr_matrix((np.ones(len(rows), bool), (rows, columns)), shape=(n, n))
  return Target(lambda queries: graph[queries].toarray(), np.ones(n, bool))


def same_label(spots: PairedSpots, codes: Int[np.ndarray, " spot"]) -> Target:
  """Spots of other sections with the query's label; what has no label is no candidate.

  Args:
    codes: a number for each spot's label, -1 without one.
  """

  def hits(rows: Int[np.ndarray, " query"]) -> Bool[np.ndarray, "query item"]:
    same = (codes[rows, None] == codes) & (codes >= 0)
    return same & (spots.section[rows, None] != spots.section)

  return Target(hits, codes >= 0)


def reach_um(spots: PairedSpots) -> Float[np.ndarray, " section"]:
  """How far off a neighbour may lie, in each section; 0 where there is nothing to measure it by."""
  places = (spots.positions_um[spots.section == number] for number in range(len(spots.sections)))
  return SPACINGS * np.nan_to_num(np.array([spacing_um(where) for where in places]))
