"""Maps of groups beside the annotation: what a probe calls each spot, clusters, regions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score

from hibio.evaluation.clusterers import kmeans
from hibio.evaluation.cohort import Cohort
from hibio.evaluation.folds import described
from hibio.evaluation.methods import MODEL
from hibio.evaluation.predictions import Predictions, labelled
from hibio.evaluation.readings import RULE as AS_READ
from hibio.evaluation.rows import Row
from hibio.evaluation.setting import Setting
from hibio.report.exhibits import Absent, Confusion, GroupMap, MapRow
from hibio.report.headlines import headlines
from hibio.report.shown_sections import ShownSections
from hibio.report.vocabulary import bare, seen_in_words

_TITLE = "What a linear classifier calls each spot"


def compared(rows: Sequence[Row], task: str, subject: str) -> dict[str, str]:
  """Features that the summary compares in a task -> their titles.

  Of each modality the subject's, as the summary reads it, and the best simple baseline beside it.
  Without rows, as where there are no labels, the subject's own and two simple ones.
  """
  name = "HiBio-ST" if subject == MODEL else subject
  found = {}
  for line in headlines(rows):
    if line.model.task == task:
      seen = seen_in_words(line.sees)
      found[line.model.method] = f"{name}, {seen}"
      if line.baseline:
        found.setdefault(
          line.baseline.method, f"{bare(line.baseline.method)}, best baseline {seen}"
        )
  return found or {
    f"{subject}/image": f"{name}, from H&E",
    f"{subject}/gene": f"{name}, from expression",
    f"{subject}/fused": f"{name}, from both",
    "colour/image": "colour alone",
    "pca/gene": "expression PCA",
  }


def annotation_maps(
  setting: Setting, shown: ShownSections, titles: Mapping[str, str]
) -> Iterator[MapRow | Confusion | Absent]:
  """One row of maps and a confusion matrix a feature, or the reason why there is none.

  Args:
    titles: features that are mapped, where the cohort has them -> their titles.
  """
  label = shown.label
  if not label:
    yield Absent("annotation", _TITLE, "the corpus has no labels")
    return
  answers = {
    name: setting.predictions(label, name) for name in titles if name in setting.cohort.features
  }
  answers = {name: found for name, found in answers.items() if len(found.spots)}
  if not answers:
    why = f"it takes two classes of {label} to fit on, and a labelled spot of another donor"
    yield Absent("annotation", _TITLE, why)
    return
  truth = labelled(setting.scored, label)
  names = truth.spots[label].to_numpy(str)
  classes = tuple(sorted(set(names)))
  maps = [GroupMap(f"{label}, as annotated", shown.groups(truth, names), classes=classes)]
  maps += [_map(found, setting, shown, titles[name], classes) for name, found in answers.items()]
  explained = (
    f"Logistic regression on the frozen embedding, {described(setting.folds)}. Bal. acc. (balanced"
    " accuracy): share of spots called right, averaged over the classes of the section."
  )
  yield MapRow("annotation", _TITLE, explained, maps)
  for name, found in answers.items():
    title = f"{label}, {titles[name]}"
    yield Confusion("annotation", title, found.classes, found.confusion())


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
  setting: Setting, shown: ShownSections, titles: Mapping[str, str]
) -> Iterator[MapRow]:
  """A row of maps: the label, then k-means of each feature with as many clusters as labels.

  Args:
    titles: features that are mapped, where the cohort has them -> their titles.
  """
  label = shown.label
  cohort = shown.of(labelled(setting.scored, label) if label else setting.scored)
  if not len(cohort.spots):
    cohort, label = shown.of(setting.scored), ""
  truth = cohort.spots[label].to_numpy(str) if label else None
  classes = tuple(sorted(set(truth))) if label else ()
  maps = (
    [GroupMap(f"{label}, as annotated", shown.groups(cohort, truth), classes=classes)]
    if label
    else []
  )
  for name, title in titles.items():
    seen = _seen_by(setting, name)
    if seen is not None:
      seen = shown.of(labelled(seen, label) if label else seen)
      if len(seen.spots):
        maps.append(_clusters(seen, shown, name, title, label, classes))
  about = (
    f"k-means in each section, with as many clusters as the section has labels of {label}; no label"
    " is used. Clusters and labels are matched one to one by overlap, and share their colour. ARI:"
    " 1 is the annotation itself, 0 is chance."
    if label
    else f"k-means in each section, {_WITHOUT_LABELS} clusters; the corpus has no labels."
  )
  yield MapRow("domains", "Domains over the tissue", about, maps)


def _seen_by(setting: Setting, name: str) -> Cohort | None:
  """The scored spots that a feature, or what the rule reads of one, says something of."""
  if name.endswith(AS_READ):
    return setting.by_rule(name.removesuffix(AS_READ))[0]
  return setting.seen_by(name) if name in setting.cohort.features else None


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
