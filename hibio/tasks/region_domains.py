"""Domains out of nested regions: how well each level follows the annotation, and cut to k domains.

Regions are contiguous, domains need not be: a cut unites regions that resemble each other wherever
they lie.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int
from sklearn.cluster import AgglomerativeClustering

from hibio.tasks.annotation import labelled
from hibio.tasks.cohort import Cohort
from hibio.tasks.domain_scores import DomainScores
from hibio.tasks.domains import annotated_sections, nothing_to_find, told_of
from hibio.tasks.labelled_rows import labelled_rows
from hibio.tasks.rows import Row


def region_mean(
  features: Float[np.ndarray, "spot width"], regions: Int[np.ndarray, " spot"]
) -> Float[np.ndarray, "spot width"]:
  """Each spot's features replaced by their mean over its region.

  Args:
    regions: ids of one level, different in different sections.
  """
  return _means(features, regions)[np.unique(regions, return_inverse=True)[1]]


def cut(
  features: Float[np.ndarray, "spot width"], regions: Int[np.ndarray, " spot"], k: int
) -> Int[np.ndarray, " spot"]:
  """One section's regions united into `k` domains by Ward's criterion on their mean features.

  A region counts once, whatever its size. With `k` regions or fewer each stays a domain.
  """
  of_spot = np.unique(regions, return_inverse=True)[1]
  num_regions = int(of_spot.max()) + 1
  if num_regions <= k:
    return of_spot
  means = _means(features, regions)
  return AgglomerativeClustering(k, linkage="ward").fit_predict(means)[of_spot].astype(np.int64)


def evaluate(
  cohort: Cohort,
  regions: Int[np.ndarray, "level spot"],
  feature: str,
  label: str,
  method: str,
  split: str,
) -> Iterator[Row]:
  """Each level as it stands, and cut to as many domains as the section has labels.

  The regions were drawn with all spots; scores are over those with a label. Chance deals the
  regions' ids out to the spots at random: it keeps their sizes but not that they are contiguous,
  which by itself agrees with contiguous layers. Regions drawn from coordinates alone are the fair
  control: hand them in under a `method` of their own.

  Args:
    regions: the region of each spot of `cohort`, finest level first.
    feature: what resemblance of regions is judged by when they are united.
  """
  scored, regions = labelled(cohort, label), regions[:, labelled_rows(cohort, label)]
  sections = annotated_sections(scored, label)
  common = {"task": "domains", "dataset": cohort.dataset, "split": split, "method": method}
  if not sections:
    yield nothing_to_find(label, common)
    return
  told = told_of(scored, cohort, sections, label)
  for level, ids in enumerate(regions, start=1):
    yield from _level(scored, sections, ids, level, feature, label, told, common)


def _level(
  scored: Cohort,
  sections: dict[str, np.ndarray],
  ids: Int[np.ndarray, " spot"],
  level: int,
  feature: str,
  label: str,
  told: str,
  common: dict[str, str],
) -> Iterator[Row]:
  positions = scored.spots[["x_um", "y_um"]].to_numpy(np.float64)
  names = scored.spots[label].to_numpy(str)
  standing, united, counts, short = DomainScores(), DomainScores(), {}, []
  for section, rows in sections.items():
    k = len(np.unique(names[rows]))
    own = np.unique(ids[rows], return_inverse=True)[1]
    counts[section] = float(own.max() + 1)
    domains = cut(scored.features[feature][rows], own, k)
    if counts[section] < k:
      short.append(f"{section} has {counts[section]:.0f} regions for {k} domains")
    standing.add(section, names[rows], own[None], positions[rows])
    united.add(section, names[rows], domains[None], positions[rows])
  protocol = f"region level {level} as it stands, {label}"
  note = f"{np.mean(list(counts.values())):.0f} regions a section"
  yield Row(
    **common,
    protocol=protocol,
    metric="regions_per_section",
    value=float(np.mean(list(counts.values()))),
    n=len(counts),
    chance=None,
    spread=float(np.std(list(counts.values()))),
    parts=counts,
  )
  for row in standing.rows({**common, "protocol": protocol}, note):
    if row.metric in ("ari", "homogeneity"):
      yield row
  protocol = f"region level {level} cut by Ward, {told}"
  yield from united.rows({**common, "protocol": protocol}, "; ".join([note, *short]))


def _means(
  features: Float[np.ndarray, "spot width"], regions: Int[np.ndarray, " spot"]
) -> Float[np.ndarray, "region width"]:
  _, of_spot, sizes = np.unique(regions, return_inverse=True, return_counts=True)
  spots = len(of_spot)
  member = scipy.sparse.csr_matrix(
    (np.ones(spots), (of_spot, np.arange(spots))), shape=(len(sizes), spots)
  )
  totals = member @ features.astype(np.float64)
  return (totals / sizes[:, None]).astype(features.dtype)
