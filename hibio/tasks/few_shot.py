"""Few-shot annotation: how many labelled spots a class does a frozen embedding need?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Shaped
from sklearn.metrics import recall_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from hibio.tasks.cohort import Cohort
from hibio.tasks.folds import Fold, described
from hibio.tasks.labels import divided
from hibio.tasks.linear_probe import capped
from hibio.tasks.rows import Row

SHOTS = (1, 2, 4, 8, 16)
"""Labelled spots a class."""

REPEATS = 10


def evaluate(
  cohort: Cohort, folds: Sequence[Fold], feature: str, label: str, method: str
) -> Iterator[Row]:
  """Nearest class mean of a few labelled spots, drawn anew `REPEATS` times from the fitting donors.

  Each row is the mean over draws of the balanced accuracy over all held-out spots; `spread` is the
  standard deviation over draws. Features are standardised over all labelled spots of the fitting
  donors, for which no label is read. A class with fewer spots than asked for gives all it has; one
  that the fitting donors lack counts as errors.
  """
  divisions, left_out = divided(cohort, folds, feature, label)
  sides = [(*_standardised(fit, test, feature), fit, test) for _, fit, test in divisions]
  truth = np.array([name for *_, test in sides for name in test.spots[label].astype(str)], str)
  present = np.unique(truth)
  for shots in SHOTS:
    protocol = f"few-shot, {shots} spots a class, nearest class mean, {label}"
    common = ("annotation", cohort.dataset, protocol, described(folds), "balanced_accuracy", method)
    if len(present) < 2:
      reason = "; ".join((f"needs 2 classes held out, found {len(present)}", *left_out))
      yield Row(*common, None, len(truth), None, reason)
      continue
    scores = {}
    for draw in range(REPEATS):
      rng = np.random.default_rng(draw)
      predicted = np.concatenate(
        [
          nearest_class_mean(values, fit.spots[label].to_numpy(str), unseen, shots, rng)
          for values, unseen, fit, _ in sides
        ]
      )
      recalls = recall_score(truth, predicted, labels=present, average=None, zero_division=0)
      scores[f"draw {draw}"] = float(recalls.mean())
    values = list(scores.values())
    note = "; ".join((f"mean of {REPEATS} draws of the labelled spots", *left_out))
    yield Row(
      *common,
      float(np.mean(values)),
      len(truth),
      1.0 / len(present),
      note,
      float(np.std(values, ddof=1)),
      scores,
    )


def nearest_class_mean(
  values: Float[np.ndarray, "spot width"],
  names: Shaped[np.ndarray, " spot"],
  unseen: Float[np.ndarray, "unseen width"],
  shots: int,
  rng: np.random.Generator,
) -> Shaped[np.ndarray, " unseen"]:
  """The class whose mean over `shots` drawn spots lies nearest to each unseen spot."""
  drawn = capped(names, shots, rng)
  classes = np.unique(names)
  means = np.stack([values[drawn][names[drawn] == name].mean(0) for name in classes])
  return KNeighborsClassifier(1).fit(means, classes).predict(unseen)


def _standardised(fit: Cohort, test: Cohort, feature: str) -> tuple[np.ndarray, np.ndarray]:
  scaler = StandardScaler().fit(fit.features[feature])
  return scaler.transform(fit.features[feature]), scaler.transform(test.features[feature])
