"""What predictions of classes are worth: each metric, with the parts that it is made of.

Two readings of every metric: pooled over all held-out spots, where the classes weigh the same, and
per donor, where the donors do. A donor is scored over the classes that it has.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import rankdata

from hibio.evaluation.predictions import Predictions, too_few
from hibio.evaluation.rows import Row


@dataclasses.dataclass(frozen=True)
class Score:
  """A metric of some predictions; None where it is not defined.

  Attributes:
    parts: the same for each class, or for each donor.
    spread: standard deviation over donors (n - 1 in the denominator), of at least two.
  """

  value: float | None
  parts: Mapping[str, float] = dataclasses.field(default_factory=dict)
  spread: float | None = None
  note: str = ""


Metric = Callable[[Predictions], Score]


def balanced_accuracy(found: Predictions) -> Score:
  """Mean recall of the classes that are there; `parts` is the recall of each."""
  confusion = found.confusion()
  present = confusion.sum(1) > 0
  return _mean(found, present, np.diag(confusion)[present] / confusion.sum(1)[present])


def macro_f1(found: Predictions) -> Score:
  """Mean F1 of the classes that are there; `parts` is the F1 of each."""
  confusion = found.confusion()
  present = confusion.sum(1) > 0
  return _mean(found, present, f1(confusion)[present])


def weighted_f1(found: Predictions) -> Score:
  """F1 of the classes that are there, weighted by their spots."""
  confusion = found.confusion()
  return Score(float(np.average(f1(confusion), weights=confusion.sum(1))))


def auroc(found: Predictions) -> Score:
  """Area under the ROC curve of each class against all others: mean over folds, then over classes.

  Within each fold, since scores of two probes cannot be compared: pooled, a class that one fold
  could not learn would score far below chance. A class without a spot in a fold, or with every
  spot, has none there; such ones are left out and counted.
  """
  names = found.spots["fold"].to_numpy(str)
  folds = [found.subset(names == fold) for fold in dict.fromkeys(names.tolist())]
  by_class = {name: [] for name in found.classes}
  for fold in folds:
    for name, area in _areas(fold).items():
      by_class[name].append(area)
  parts = {name: float(np.mean(areas)) for name, areas in by_class.items() if areas}
  possible = len(folds) * len(found.classes)
  undefined = possible - sum(map(len, by_class.values()))
  what = "classes" if len(folds) == 1 else "classes x folds"
  note = f"AUROC undefined for {undefined} of {possible} {what}" if undefined else ""
  return Score(float(np.mean(list(parts.values()))) if parts else None, parts, note=note)


def per(unit: str, metric: Metric) -> Metric:
  """The metric of each donor's or section's spots, averaged; those with one class are left out.

  Args:
    unit: "donor" or "section".
  """

  def scored(found: Predictions) -> Score:
    names = found.spots[f"{unit}_id"].to_numpy(str)
    parts, left_out = {}, []
    for name in dict.fromkeys(names.tolist()):
      part = found.subset(names == name)
      if len(np.unique(part.truth)) < 2:
        left_out.append(name)
      else:
        parts[name] = metric(part).value
    values = list(parts.values())
    return Score(
      float(np.mean(values)) if values else None,
      parts,
      float(np.std(values, ddof=1)) if len(values) > 1 else None,
      f"{unit}s with one class left out: {', '.join(left_out)}" if left_out else "",
    )

  return scored


def even_chance(found: Predictions) -> Score:
  """Balanced accuracy of guessing evenly among the classes that are there."""
  return Score(1.0 / len(np.unique(found.truth)))


METRICS: Mapping[str, Metric] = {
  "balanced_accuracy": balanced_accuracy,
  "balanced_accuracy_per_donor": per("donor", balanced_accuracy),
  "balanced_accuracy_per_section": per("section", balanced_accuracy),
  "macro_f1": macro_f1,
  "macro_f1_per_donor": per("donor", macro_f1),
  "weighted_f1": weighted_f1,
  "auroc": auroc,
  "auroc_per_donor": per("donor", auroc),
  "auroc_per_section": per("section", auroc),
}


def _mean(found: Predictions, present: np.ndarray, values: Float[np.ndarray, " label"]) -> Score:
  names = np.asarray(found.classes)[present]
  return Score(
    float(values.mean()), {n: float(v) for n, v in zip(names.tolist(), values, strict=True)}
  )


def _areas(found: Predictions) -> dict[str, float]:
  """Area of each class that has one, by the ranks of its scores, ties halved (Mann-Whitney)."""
  truth, ranks = found.truth, rankdata(found.scores, axis=0)
  areas = {}
  for number, name in enumerate(found.classes):
    inside = ranks[truth == number, number]
    outside = len(truth) - len(inside)
    if len(inside) and outside:
      areas[name] = float((inside.mean() - (len(inside) + 1) / 2) / outside)
  return areas


def f1(confusion: np.ndarray) -> Float[np.ndarray, " label"]:
  """F1 of each class: twice its hits over its true and its predicted spots; 0 without either."""
  return 2 * np.diag(confusion) / np.maximum(confusion.sum(1) + confusion.sum(0), 1)


GUESSES = 10
"""Draws that the chance of a metric without a closed form is the mean of."""

CLOSED_CHANCE: Mapping[str, Metric] = {
  "balanced_accuracy": even_chance,
  "balanced_accuracy_per_donor": per("donor", even_chance),
  "balanced_accuracy_per_section": even_chance,
  "auroc_per_section": lambda found: Score(0.5),
}
"""Metrics whose chance is known; that of all others is measured on stratified guesses."""


def chances(found: Predictions) -> dict[str, float | None]:
  """Each metric of guessing: in closed form, or the mean over `GUESSES` stratified guesses.

  It is the same for all features that see the same spots, and is worked out once for them.
  """
  columns = ["fold", "truth", "donor_id", "section_id"]
  spots = pd.util.hash_pandas_object(found.spots[columns], index=False).to_numpy().tobytes()
  shares = tuple((fold, share.tobytes()) for fold, share in found.shares.items())
  return dict(_chances(_Asked((found.classes, shares, spots), found)))


@dataclasses.dataclass(frozen=True)
class _Asked:
  """Which spots are guessed at, whatever a probe said of them."""

  key: tuple
  found: Predictions = dataclasses.field(compare=False)


@functools.lru_cache(maxsize=64)
def _chances(asked: _Asked) -> dict[str, float | None]:
  rng = np.random.default_rng(0)
  drawn = [stratified(asked.found, rng) for _ in range(GUESSES)]
  known = {name: chance(asked.found).value for name, chance in CLOSED_CHANCE.items()}
  measured = {name: [METRICS[name](one).value for one in drawn] for name in METRICS.keys() - known}
  return known | {
    name: None if None in values else float(np.mean(values)) for name, values in measured.items()
  }


def rows(found: Predictions, dataset: str, protocol: str, split: str, method: str) -> Iterator[Row]:
  """Every metric as a row beside its chance; one row with the reason where nothing can be scored.

  Chance is 1 / classes for balanced accuracy, and for F1 and AUROC what guesses with the class
  frequencies of the fitting side score.
  """
  common = ("annotation", dataset, protocol, split)
  present, n = len(np.unique(found.truth)), len(found.spots)
  if present < 2:
    reason = too_few(present, found.notes)
    yield Row(*common, "balanced_accuracy", method, None, n, None, reason)
    return
  chance = chances(found)
  for name, metric in METRICS.items():
    score = metric(found)
    note = "; ".join(filter(None, (f"classes: {present}", score.note, *found.notes)))
    yield Row(*common, name, method, score.value, n, chance[name], note, score.spread, score.parts)


def stratified(found: Predictions, rng: np.random.Generator) -> Predictions:
  """Each spot's class drawn with the frequencies of the spots that its fold was fitted on."""
  drawn = np.empty(len(found.spots), int)
  for fold, rows in _folds(found):
    drawn[rows] = rng.choice(len(found.classes), len(rows), p=found.shares[fold])
  return _said(found, drawn)


def majority(found: Predictions) -> Predictions:
  """Every spot given the most frequent class of the spots that its fold was fitted on."""
  constant = np.empty(len(found.spots), int)
  for fold, rows in _folds(found):
    constant[rows] = found.shares[fold].argmax()
  return _said(found, constant)


def _folds(found: Predictions):
  names = found.spots["fold"].to_numpy(str)
  return [(fold, np.flatnonzero(names == fold)) for fold in found.shares]


def _said(found: Predictions, classes: np.ndarray) -> Predictions:
  return found.answered(np.eye(len(found.classes))[classes])
