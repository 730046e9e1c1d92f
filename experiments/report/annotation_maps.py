"""What a linear probe calls each spot of a donor it was not fitted on, beside the pathologist."""

from __future__ import annotations

import numpy as np

from experiments.report.exhibits import Absent, Confusion, GroupMap, MapRow
from experiments.report.shown_sections import ShownSections
from experiments.setting import Setting
from hibio.tasks.annotation import labelled
from hibio.tasks.folds import described
from hibio.tasks.predictions import Predictions

FEATURES = {
  "hibio/image": "HiBio-ST, from H&E",
  "hibio/gene": "HiBio-ST, from expression",
  "colour/image": "colour alone",
  "pca/gene": "expression PCA",
}
"""Features that are probed, where the cohort has them."""

_TITLE = "What a probe calls each spot"


def annotation_maps(
  setting: Setting, shown: ShownSections, label: str
) -> tuple[list[MapRow], list[Confusion], list[Absent]]:
  """One row of maps and a confusion matrix a feature, or the reason why there is none."""
  if not label:
    return [], [], [Absent("annotation", _TITLE, "the corpus has no labels")]
  answers = {
    name: setting.predictions(label, name) for name in FEATURES if name in setting.cohort.features
  }
  answers = {name: found for name, found in answers.items() if len(found.spots)}
  if not answers:
    why = f"it takes two classes of {label} to fit on, and a labelled spot of another donor"
    return [], [], [Absent("annotation", _TITLE, why)]
  truth = labelled(setting.scored, label)
  classes = tuple(sorted(set(truth.spots[label].astype(str))))
  maps = [GroupMap(label, shown.groups(truth, truth.spots[label].to_numpy(str)), classes=classes)]
  maps += [_map(found, setting, shown, FEATURES[name], classes) for name, found in answers.items()]
  confusions = [
    Confusion("annotation", f"{label}, {FEATURES[name]}", found.classes, found.confusion())
    for name, found in answers.items()
  ]
  explained = (
    f"Logistic regression on the frozen embedding, {described(setting.folds)}. Bal. acc.: mean over"
    " the classes of the section of the share called right."
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
