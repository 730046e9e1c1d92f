"""Labels, the clusters of each embedding, and the model's nested regions, side by side."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score

from data_pipelines.preparation.regions import nested_regions
from experiments.report.exhibits import GroupMap, MapRow
from experiments.report.shown_sections import ShownSections
from hibio.tasks import domains
from hibio.tasks.annotation import labelled
from hibio.tasks.cohort import Cohort

FEATURES = {
  "hibio/image": "HiBio-ST, from H&E",
  "hibio/gene": "HiBio-ST, from expression",
  "hibio/fused": "HiBio-ST, from both",
  "colour/image": "colour alone",
  "pca/gene": "expression PCA",
}
"""Features whose clusters are drawn, where the cohort has them."""

_WITHOUT_LABELS = 7
"""Clusters where no label says how many; the layers of the cortex."""


def domain_maps(held_out: Cohort, shown: ShownSections, label: str) -> Iterator[MapRow]:
  """A row of maps: the label, then k-means of each feature with as many clusters as labels.

  Args:
    label: a label column; "" for none.
  """
  cohort = shown.of(labelled(held_out, label) if label else held_out)
  if not len(cohort.spots):
    cohort, label = shown.of(held_out), ""
  truth = cohort.spots[label].to_numpy(str) if label else None
  classes = tuple(sorted(set(truth))) if label else ()
  maps = [GroupMap(label, shown.groups(cohort, truth), classes=classes)] if label else []
  for feature, title in FEATURES.items():
    if feature in cohort.features:
      maps.append(_clusters(cohort, shown, feature, title, truth, classes))
  about = (
    f"k-means in each section, as many clusters as it has labels of {label}; no label is seen. A "
    "cluster has the colour of the label that it overlaps most, one to one."
    if label
    else f"k-means in each section, {_WITHOUT_LABELS} clusters; the corpus has no labels."
  )
  yield MapRow("domains", "Domains over the tissue", about, maps)


def region_maps(
  held_out: Cohort, shown: ShownSections, spots_per_region: tuple[int, ...]
) -> Iterator[MapRow]:
  """The nested, contiguous regions that the model's fused embedding draws, level by level."""
  cohort = shown.of(held_out)
  levels = np.full((len(spots_per_region), len(cohort.spots)), "", dtype=object)
  counts: list[dict[str, str]] = [{} for _ in spots_per_region]
  for section, rows in cohort.sections():
    positions = cohort.spots[["x_um", "y_um"]].to_numpy(float)[rows]
    found = nested_regions(cohort.features["hibio/fused"][rows], positions, spots_per_region)
    for level, ids in enumerate(found):
      levels[level, rows] = ids.astype(str)
      counts[level][section] = f"{len(set(ids))} regions"
  maps = [
    GroupMap(f"about {spots} spots a region", shown.groups(cohort, levels[level]), counts[level])
    for level, spots in enumerate(spots_per_region)
  ]
  yield MapRow(
    "domains",
    "Nested regions",
    "Contiguous regions drawn by the model's embedding of both modalities, as in pretraining; a "
    "coarse region is made of fine ones. Colours only tell neighbours apart.",
    maps,
  )


def named_after(clusters: np.ndarray, truth: np.ndarray) -> np.ndarray:
  """Clusters under the name of the label they overlap most, one to one; others "domain 1", ..."""
  found, codes = np.unique(clusters, return_inverse=True)
  names, truth_codes = np.unique(truth, return_inverse=True)
  overlap = np.zeros((len(found), len(names)), int)
  np.add.at(overlap, (codes, truth_codes), 1)
  called = np.array([f"domain {number + 1}" for number in range(len(found))], dtype=object)
  rows, columns = linear_sum_assignment(-overlap)
  called[rows] = names[columns]
  return called[codes].astype(str)


def _clusters(
  cohort: Cohort,
  shown: ShownSections,
  feature: str,
  title: str,
  truth: np.ndarray | None,
  classes: tuple[str, ...],
) -> GroupMap:
  names = np.full(len(cohort.spots), "", dtype=object)
  figures = {}
  for section, rows in cohort.sections():
    k = len(set(truth[rows])) if truth is not None else _WITHOUT_LABELS
    found = _clustered(cohort.features[feature][rows], min(max(k, 2), len(rows)))
    if truth is None:
      names[rows] = [f"domain {cluster + 1}" for cluster in found]
    else:
      names[rows] = named_after(found, truth[rows])
      figures[section] = f"ARI {adjusted_rand_score(truth[rows], found):.2f}"
  return GroupMap(title, shown.groups(cohort, names), figures, classes)


def _clustered(features: Float[np.ndarray, "spot width"], k: int) -> np.ndarray:
  """The one place that asks the task for its clusters."""
  return domains.cluster(features, k, seed=0)
