"""Annotation by linear probe: are the labels of unseen donors linear in the frozen embedding?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hibio.tasks import class_rows, guesses
from hibio.tasks.cohort import Cohort
from hibio.tasks.folds import Fold, described
from hibio.tasks.labels import labelled
from hibio.tasks.predictions import Predictions, predictions
from hibio.tasks.rows import Row

__all__ = ["evaluate", "labelled", "majority", "predictions", "rows"]


def evaluate(
  cohort: Cohort, folds: Sequence[Fold], feature: str, label: str, method: str
) -> Iterator[Row]:
  """The probe of each fold scored on what it holds out.

  Where figures need the predictions too, call `predictions` once and hand them to `rows`.
  """
  yield from rows(predictions(cohort, folds, feature, label), cohort, folds, label, method)


def rows(
  found: Predictions, cohort: Cohort, folds: Sequence[Fold], label: str, method: str
) -> Iterator[Row]:
  """Predictions of the linear probe as results."""
  yield from class_rows.rows(
    found, cohort.dataset, f"linear probe, {label}", described(folds), method
  )


def majority(
  found: Predictions, cohort: Cohort, folds: Sequence[Fold], label: str
) -> Iterator[Row]:
  """The most frequent class for every spot: same spots, same metrics, once for each label."""
  yield from rows(guesses.majority(found), cohort, folds, label, "majority class")
