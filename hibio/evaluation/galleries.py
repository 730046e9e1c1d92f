"""The candidates a query is answered from. The gallery decides a recall: it is always named."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree

from hibio.evaluation.baselines.neighbours import spacing_um
from hibio.evaluation.cohort import Cohort
from hibio.evaluation.ranking import Target


def own_section(
  donors: Int[np.ndarray, " section"],
) -> Bool[np.ndarray, "section section"]:
  """Spots of the query's section: nothing but the spot itself tells them apart."""
  return np.eye(len(donors), dtype=bool)


def own_donor(donors: Int[np.ndarray, " section"]) -> Bool[np.ndarray, "section section"]:
  """Spots of all sections of the query's donor: the stain of each may give it away."""
  return donors[:, None] == donors[None, :]


def all_sections(
  donors: Int[np.ndarray, " section"],
) -> Bool[np.ndarray, "section section"]:
  """Every spot: who only knows the section gains a factor of their number."""
  return np.ones((len(donors), len(donors)), bool)


def other_sections(
  donors: Int[np.ndarray, " section"],
) -> Bool[np.ndarray, "section section"]:
  """Spots of all sections but the query's: its own stain and batch cannot help."""
  return ~own_section(donors)


GALLERIES = {"own section": own_section, "own donor": own_donor, "all": all_sections}
"""name -> (donor of each section -> which sections answer a query of each section). Every gallery
holds the query's own section, and so the spot it belongs to."""


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


@dataclasses.dataclass(frozen=True)
class PairedSpots:
  """Spots that have both modalities, in the order of their sections.

  Attributes:
    rows: of the cohort.
    section: number of each spot's section.
    starts: first spot of each section.
    sections: names of the sections.
    donors: number of each section's donor, also where sections are held out one by one.
    positions_um: of each spot.
    asked: the spots that are queries; the others only stand in galleries.
  """

  rows: Int[np.ndarray, " spot"]
  section: Int[np.ndarray, " spot"]
  starts: Int[np.ndarray, " section"]
  sections: tuple[str, ...]
  donors: Int[np.ndarray, " section"]
  positions_um: Float[np.ndarray, "spot 2"]
  asked: Int[np.ndarray, " query"]

  def __len__(self) -> int:
    return len(self.rows)

  @property
  def section_sizes(self) -> Int[np.ndarray, " section"]:
    return np.bincount(self.section, minlength=len(self.sections))

  @property
  def asked_section(self) -> Int[np.ndarray, " query"]:
    return self.section[self.asked]


def paired_spots(cohort: Cohort, asked: Sequence[str] | None = None) -> PairedSpots:
  """The spots with a patch and counts; sections without any are left out.

  Args:
    asked: sections whose spots are queries; by default all.
  """
  has_both = cohort.spots[["has_patch", "has_counts"]].all(axis=1).to_numpy(bool)
  kept = {name: rows[has_both[rows]] for name, rows in cohort.sections() if has_both[rows].any()}
  sizes = np.array([len(rows) for rows in kept.values()], np.int64)
  rows = np.concatenate([np.zeros(0, np.int64), *kept.values()])
  starts = np.cumsum(sizes) - sizes
  donors = cohort.spots["patient"].to_numpy(str)[rows[starts]]
  section = np.repeat(np.arange(len(sizes)), sizes)
  is_asked = np.array([asked is None or name in asked for name in kept], bool)
  return PairedSpots(
    rows=rows,
    section=section,
    starts=starts,
    sections=tuple(str(name) for name in kept),
    donors=np.unique(donors, return_inverse=True)[1],
    positions_um=cohort.spots[["x_um", "y_um"]].to_numpy(np.float64)[rows],
    asked=np.flatnonzero(is_asked[section]),
  )
