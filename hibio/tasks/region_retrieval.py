"""Retrieval of regions: does a region's H&E find its own expression among regions of its section?

What one spot's counts are too noisy to tell, a few contiguous spots together can. Every method is
asked of the same regions, which none of them drew: a method's own would suit it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int

from hibio.tasks import retrieval
from hibio.tasks.cohort import Cohort
from hibio.tasks.rows import Row


def evaluate(
  cohort: Cohort,
  image: Float[np.ndarray, "spot width"],
  gene: Float[np.ndarray, "spot width"],
  regions: Int[np.ndarray, " spot"],
  method: str,
  split: str,
  drawn_from: str,
) -> Iterator[Row]:
  """As `retrieval.evaluate`, with the mean of the unit vectors of a region's spots as one item.

  Spots without an image or without counts are left out of their region. Neighbours and labels are
  not asked: a region has neither one place nor one label.

  Args:
    regions: ids of one level, different in different sections.
    drawn_from: what the regions were drawn from, for the protocol.
  """
  both = cohort.spots[["has_patch", "has_counts"]].all(axis=1).to_numpy(bool)
  _, first, of_spot, sizes = np.unique(
    regions[both], return_index=True, return_inverse=True, return_counts=True
  )
  if not len(sizes):
    return
  member = scipy.sparse.csr_matrix(
    (1 / sizes[of_spot], (of_spot, np.arange(len(of_spot)))), shape=(len(sizes), len(of_spot))
  )
  # Items are looked up section by section, in the order of the cohort.
  order = np.argsort(first, kind="stable")
  united, places = cohort.subset(both), ["x_um", "y_um"]
  spots = united.spots.iloc[first[order]].reset_index(drop=True)
  spots[places] = (member @ united.spots[places].to_numpy(np.float64))[order]
  items = dataclasses.replace(
    united, spots=spots, counts=united.counts[first[order]], features={}, readout={}
  )
  means = [
    (member @ retrieval.unit(one[both]).astype(np.float64))[order].astype(np.float32)
    for one in (image, gene)
  ]
  size = f"regions of {np.median(sizes):.0f} spots, drawn from {drawn_from}"
  for row in retrieval.evaluate(items, *means, method, split):
    if not row.metric.startswith("near_"):
      protocol = f"{size}: {row.protocol.removesuffix(' spots')} regions"
      yield dataclasses.replace(row, task="region_retrieval", protocol=protocol)
