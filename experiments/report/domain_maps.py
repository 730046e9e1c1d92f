"""Labels, the clusters of each embedding, and the model's nested regions, side by side."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score

from experiments.report.exhibits import GroupMap, MapRow
from experiments.report.shown_sections import ShownSections
from experiments.setting import Setting
from hibio.tasks.annotation import labelled
from hibio.tasks.clusterers import kmeans
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
    if feature in cohort.features and len((seen := cohort.seen_by(feature)).spots):
      maps.append(_clusters(seen, shown, feature, title, label, classes))
  about = (
    f"k-means in each section, as many clusters as it has labels of {label}; no label is seen. A "
    "cluster has the colour of the label that it overlaps most, one to one."
    if label
    else f"k-means in each section, {_WITHOUT_LABELS} clusters; the corpus has no labels."
  )
  yield MapRow("domains", "Domains over the tissue", about, maps)


def region_maps(setting: Setting, shown: ShownSections) -> Iterator[MapRow]:
  """The nested, contiguous regions that the model's embedding draws, level by level."""
  cohort, maps = setting.scored, []
  regions = next(iter(setting.regions.values()))
  for spots, ids in zip(
    setting.corpus.manifest["region_spots"], regions[:, setting.is_scored], strict=True
  ):
    counts = {name: f"{len(set(ids[rows]))} regions" for name, rows in cohort.sections()}
    laid_out = shown.groups(cohort, ids.astype(str))
    maps.append(GroupMap(f"about {spots} spots a region", laid_out, counts))
  yield MapRow(
    "domains",
    "Nested regions",
    "Contiguous regions drawn by the model's embedding, as in pretraining; a coarse region is made "
    "of fine ones. Colours only tell neighbours apart.",
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
  label: str,
  classes: tuple[str, ...],
) -> GroupMap:
  names = np.full(len(cohort.spots), "", dtype=object)
  positions = cohort.spots[["x_um", "y_um"]].to_numpy(float)
  figures = {}
  for section, rows in cohort.sections():
    truth = cohort.spots[label].to_numpy(str)[rows] if label else None
    k = len(set(truth)) if label else _WITHOUT_LABELS
    values = cohort.features[feature][rows]
    (found,) = kmeans(values, positions[rows], min(max(k, 2), len(rows)), seed=0)
    if truth is None:
      names[rows] = [f"domain {cluster + 1}" for cluster in found]
    else:
      names[rows] = named_after(found, truth)
      figures[section] = f"ARI {adjusted_rand_score(truth, found):.2f}"
  return GroupMap(title, shown.groups(cohort, names), figures, classes)
