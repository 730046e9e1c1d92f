"""The spots that retrieval is about: those with an image and counts, section by section."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from hibio.tasks.cohort import Cohort


@dataclasses.dataclass(frozen=True)
class PairedSpots:
  """Spots that have both modalities, in the order of their sections.

  Attributes:
    rows: of the cohort.
    section: number of each spot's section.
    starts: first spot of each section.
    sections: names of the sections.
    donors: number of each section's donor.
    positions_um: of each spot.
  """

  rows: Int[np.ndarray, " spot"]
  section: Int[np.ndarray, " spot"]
  starts: Int[np.ndarray, " section"]
  sections: tuple[str, ...]
  donors: Int[np.ndarray, " section"]
  positions_um: Float[np.ndarray, "spot 2"]

  def __len__(self) -> int:
    return len(self.rows)

  @property
  def section_sizes(self) -> Int[np.ndarray, " section"]:
    return np.bincount(self.section, minlength=len(self.sections))


def paired_spots(cohort: Cohort) -> PairedSpots:
  """The spots with a patch and counts; sections without any are left out."""
  has_both = cohort.spots[["has_patch", "has_counts"]].all(axis=1).to_numpy(bool)
  kept = {name: rows[has_both[rows]] for name, rows in cohort.sections() if has_both[rows].any()}
  sizes = np.array([len(rows) for rows in kept.values()], np.int64)
  rows = np.concatenate([np.zeros(0, np.int64), *kept.values()])
  starts = np.cumsum(sizes) - sizes
  donors = cohort.spots["donor_id"].to_numpy(str)[rows[starts]]
  return PairedSpots(
    rows=rows,
    section=np.repeat(np.arange(len(sizes)), sizes),
    starts=starts,
    sections=tuple(str(name) for name in kept),
    donors=np.unique(donors, return_inverse=True)[1],
    positions_um=cohort.spots[["x_um", "y_um"]].to_numpy(np.float64)[rows],
  )
