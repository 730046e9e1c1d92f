"""Predictions of classes as results: every metric beside what guessing scores on the same spots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from hibio.tasks import class_metrics, guesses
from hibio.tasks.predictions import Predictions
from hibio.tasks.rows import Row

GUESSES = 10
"""Draws that the chance of a metric without a closed form is the mean of."""

CLOSED_CHANCE: Mapping[str, class_metrics.Metric] = {
  "balanced_accuracy": class_metrics.even_chance,
  "balanced_accuracy_per_donor": class_metrics.per_donor(class_metrics.even_chance),
}
"""Metrics whose chance is known; that of all others is measured on stratified guesses."""


def chances(found: Predictions) -> dict[str, float | None]:
  """Each metric of guessing: in closed form, or the mean over `GUESSES` stratified guesses."""
  rng = np.random.default_rng(0)
  drawn = [guesses.stratified(found, rng) for _ in range(GUESSES)]
  known = {name: chance(found).value for name, chance in CLOSED_CHANCE.items()}
  measured = {
    name: [class_metrics.METRICS[name](one).value for one in drawn]
    for name in class_metrics.METRICS.keys() - known
  }
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
    reason = "; ".join((f"needs 2 classes held out, found {present}", *found.notes))
    yield Row(*common, "balanced_accuracy", method, None, n, None, reason)
    return
  chance = chances(found)
  for name, metric in class_metrics.METRICS.items():
    score = metric(found)
    note = "; ".join(filter(None, (f"classes: {present}", score.note, *found.notes)))
    yield Row(*common, name, method, score.value, n, chance[name], note, score.spread, score.parts)
