"""What a linear probe calls each spot of a donor it was not fitted on, beside the pathologist."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from experiments.report.exhibits import Absent, Confusion, GroupMap, MapRow
from experiments.report.shown_sections import ShownSections
from hibio.tasks.annotation import labelled
from hibio.tasks.cohort import Cohort
from hibio.tasks.folds import Fold, described

FEATURES = {
  "hibio/image": "HiBio-ST, from H&E",
  "hibio/gene": "HiBio-ST, from expression",
  "colour/image": "colour alone",
  "pca/gene": "expression PCA",
}
"""Features that are probed, where the cohort has them."""

_TITLE = "What a probe calls each spot"


@dataclasses.dataclass(frozen=True)
class Called:
  """A probe's answers over all folds.

  Attributes:
    cohort: the labelled spots that were held out in some fold, in fold order.
    names: what each was called.
  """

  cohort: Cohort
  names: np.ndarray


def called(cohort: Cohort, folds: Sequence[Fold], feature: str, label: str) -> list[Called]:
  """Answers of a logistic regression fitted without the fold's donor, a fold each.

  A fold in which fewer than two classes can be fitted, or nothing is labelled, is left out.
  """
  cohort, found = labelled(cohort, label), []
  for fold in folds:
    fit, held_out = fold.split(cohort)
    if fit.spots[label].nunique() < 2 or not len(held_out.spots):
      continue
    probe = make_pipeline(
      StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", tol=1e-3, max_iter=500)
    )
    probe.fit(fit.features[feature], fit.spots[label].to_numpy(str))
    found.append(Called(held_out, probe.predict(held_out.features[feature]).astype(str)))
  return found


def annotation_maps(
  cohort: Cohort, folds: Sequence[Fold], shown: ShownSections, label: str
) -> tuple[list[MapRow], list[Confusion], list[Absent]]:
  """One row of maps and a confusion matrix a feature, or the reason why there is none."""
  if not label:
    return [], [], [Absent("annotation", _TITLE, "the corpus has no labels")]
  answers = {name: called(cohort, folds, name, label) for name in FEATURES
             if name in cohort.features}  # fmt: skip
  answers = {name: found for name, found in answers.items() if found}
  if not answers:
    why = f"it takes two classes of {label} to fit on, and a labelled spot of another donor"
    return [], [], [Absent("annotation", _TITLE, why)]
  truth = labelled(cohort, label)
  classes = tuple(sorted(set(truth.spots[label].astype(str))))
  maps = [GroupMap(label, shown.groups(truth, truth.spots[label].to_numpy(str)), classes=classes)]
  confusions = []
  for feature, found in answers.items():
    maps.append(_map(found, shown, FEATURES[feature], label, classes))
    true = np.concatenate([one.cohort.spots[label].to_numpy(str) for one in found])
    names = np.concatenate([one.names for one in found])
    confusions.append(
      Confusion("annotation", f"{label}, {FEATURES[feature]}", classes,
                confusion_matrix(true, names, labels=list(classes)))
    )  # fmt: skip
  explained = (
    f"Logistic regression on the frozen embedding, {described(folds)}. Bal. acc.: mean over the "
    "classes of the section of the share called right."
  )
  return [MapRow("annotation", _TITLE, explained, maps)], confusions, []


def _map(
  found: Sequence[Called], shown: ShownSections, title: str, label: str, classes: tuple[str, ...]
) -> GroupMap:
  groups: dict[str, np.ndarray] = {}
  figures = {}
  for one in found:
    laid_out = shown.groups(one.cohort, one.names)
    groups |= laid_out
    for section, rows in one.cohort.sections():
      if section in laid_out:
        truth = one.cohort.spots[label].to_numpy(str)[rows]
        if len(set(truth)) > 1:
          figures[section] = f"bal. acc. {_balanced(truth, one.names[rows]):.2f}"
  return GroupMap(title, groups, figures, classes)


def _balanced(truth: np.ndarray, names: np.ndarray) -> float:
  """Balanced accuracy over the classes present; a class called but absent is an error elsewhere."""
  return float(np.mean([(names[truth == name] == name).mean() for name in np.unique(truth)]))
