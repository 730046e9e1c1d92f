"""Maps of groups beside the annotation: what a probe calls each spot, clusters, regions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score

from hibio.evaluation.clusterers import kmeans
from hibio.evaluation.cohort import Cohort
from hibio.evaluation.folds import described
from hibio.evaluation.methods import MODEL
from hibio.evaluation.predictions import Predictions, labelled
from hibio.evaluation.setting import Setting
from hibio.report.exhibits import Absent, Confusion, GroupMap, MapRow
from hibio.report.shown_sections import ShownSections

_SIMPLE = {"colour/image": "colour alone", "pca/gene": "expression PCA"}


def mapped(subject: str) -> dict[str, str]:
  """Features that are mapped, where the cohort has them -> their titles."""
  name = "HiBio-ST" if subject == MODEL else subject
  return {
    f"{subject}/image": f"{name}, from H&E",
    f"{subject}/gene": f"{name}, from expression",
    f"{subject}/fused": f"{name}, from both",
    **_SIMPLE,
  }


_TITLE = "What a linear classifier calls each spot"


def annotation_maps(
  setting: Setting, shown: ShownSections, label: str
) -> tuple[list[MapRow], list[Confusion], list[Absent]]:
  """One row of maps and a confusion matrix a feature, or the reason why there is none."""
  if not label:
    return [], [], [Absent("annotation", _TITLE, "the corpus has no labels")]
  titles = mapped(setting.subject)
  titles.pop(f"{setting.subject}/fused")
  answers = {
    name: setting.predictions(label, name) for name in titles if name in setting.cohort.features
  }
  answers = {name: found for name, found in answers.items() if len(found.spots)}
  if not answers:
    why = f"it takes two classes of {label} to fit on, and a labelled spot of another donor"
    return [], [], [Absent("annotation", _TITLE, why)]
  truth = labelled(setting.scored, label)
  classes = tuple(sorted(set(truth.spots[label].astype(str))))
  maps = [
    GroupMap(
      f"{label}, as annotated",
      shown.groups(truth, truth.spots[label].to_numpy(str)),
      classes=classes,
    )
  ]
  maps += [_map(found, setting, shown, titles[name], classes) for name, found in answers.items()]
  confusions = [
    Confusion("annotation", f"{label}, {titles[name]}", found.classes, found.confusion())
    for name, found in answers.items()
  ]
  explained = (
    f"Logistic regression on the frozen embedding, {described(setting.folds)}. Bal. acc. (balanced"
    " accuracy): share of spots called right, averaged over the classes of the section."
  )
  return [MapRow("annotation", _TITLE, explained, maps)], confusions, []


def _map(
  found: Predictions, setting: Setting, shown: ShownSections, title: str, classes: tuple[str, ...]
) -> GroupMap:
  asked = np.zeros(len(setting.cohort.spots), bool)
  asked[found.spots["row"]] = True
  names = np.full(len(asked), "", dtype=object)
  names[found.spots["row"]] = found.spots["predicted"].to_numpy(str)
  figures = {}
  for section, spots in found.spots.groupby("section_id"):
    truth, called = spots["truth"].to_numpy(str), spots["predicted"].to_numpy(str)
    if len(set(truth)) > 1:
      figures[str(section)] = f"bal. acc. {_balanced(truth, called):.2f}"
  laid_out = shown.groups(setting.cohort.subset(asked), names[asked].astype(str))
  return GroupMap(title, laid_out, figures, classes)


def _balanced(truth: np.ndarray, names: np.ndarray) -> float:
  """Balanced accuracy over the classes present; a class called but absent is an error elsewhere."""
  return float(np.mean([(names[truth == name] == name).mean() for name in np.unique(truth)]))


_WITHOUT_LABELS = 7
"""Clusters where no label says how many; the layers of the cortex."""


def domain_maps(
  held_out: Cohort, shown: ShownSections, label: str, subject: str = MODEL
) -> Iterator[MapRow]:
  """A row of maps: the label, then k-means of each feature with as many clusters as labels.

  Args:
    label: a label column; "" for none.
    subject: whose features are mapped beside the simple ones.
  """
  cohort = shown.of(labelled(held_out, label) if label else held_out)
  if not len(cohort.spots):
    cohort, label = shown.of(held_out), ""
  truth = cohort.spots[label].to_numpy(str) if label else None
  classes = tuple(sorted(set(truth))) if label else ()
  maps = (
    [GroupMap(f"{label}, as annotated", shown.groups(cohort, truth), classes=classes)]
    if label
    else []
  )
  for feature, title in mapped(subject).items():
    if feature in cohort.features and len((seen := cohort.seen_by(feature)).spots):
      maps.append(_clusters(seen, shown, feature, title, label, classes))
  about = (
    f"k-means in each section, with as many clusters as the section has labels of {label}; no label"
    " is used. Clusters and labels are matched one to one by overlap, and share their colour. ARI:"
    " 1 is the annotation itself, 0 is chance."
    if label
    else f"k-means in each section, {_WITHOUT_LABELS} clusters; the corpus has no labels."
  )
  yield MapRow("domains", "Domains over the tissue", about, maps)


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
