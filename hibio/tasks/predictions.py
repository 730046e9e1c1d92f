"""Labels of held-out spots as a probe gives them: made once, read by metrics and figures alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from hibio.tasks import linear_probe
from hibio.tasks.cohort import Cohort
from hibio.tasks.folds import Fold
from hibio.tasks.labels import divided

Fit = Callable[[Cohort, str, str], tuple[Any, str]]
"""(labelled spots, feature, label) -> (a fitted scikit-learn classifier, what to know of it)."""


@dataclasses.dataclass(frozen=True)
class Predictions:
  """Truth and answer for every held-out spot.

  Attributes:
    spots: one row a spot: row (in the cohort that was asked about), section_id, donor_id, fold
      (what was held out), truth and predicted.
    classes: names of the classes, sorted: those fitted in any fold and those found held out.
    scores: one column a class, larger is likelier; a probe gives probabilities, 0 for a class that
      its fold never saw.
    shares: fold -> share of each class among the labelled spots that were fitted on.
    notes: what a reader of any number made of this should know.
  """

  spots: pd.DataFrame
  classes: tuple[str, ...]
  scores: Float[np.ndarray, "spot label"]
  shares: Mapping[str, Float[np.ndarray, " label"]]
  notes: tuple[str, ...] = ()

  @property
  def truth(self) -> Int[np.ndarray, " spot"]:
    """Number of each spot's class."""
    return np.searchsorted(self.classes, self.spots["truth"].to_numpy(str))

  @property
  def predicted(self) -> Int[np.ndarray, " spot"]:
    """Number of the class that each spot was given."""
    return np.searchsorted(self.classes, self.spots["predicted"].to_numpy(str))

  def subset(self, keep: Bool[np.ndarray, " spot"]) -> Predictions:
    """Only the spots where `keep` is True."""
    spots = self.spots[keep].reset_index(drop=True)
    return dataclasses.replace(self, spots=spots, scores=self.scores[keep])

  def answered(self, scores: Float[np.ndarray, "spot label"], *notes: str) -> Predictions:
    """The same spots with other scores; each is given the class of its own largest score."""
    # Without a fold there is no spot and no class to choose from.
    predicted = np.asarray(self.classes)[scores.argmax(1)] if len(scores) else []
    return dataclasses.replace(
      self, spots=self.spots.assign(predicted=predicted), scores=scores, notes=notes
    )

  def confusion(self) -> Int[np.ndarray, "label label"]:
    """Spots by true class (rows) and predicted class (columns), in the order of `classes`."""
    k = len(self.classes)
    return np.bincount(self.truth * k + self.predicted, minlength=k * k).reshape(k, k)


def predictions(
  cohort: Cohort, folds: Sequence[Fold], feature: str, label: str, fit: Fit = linear_probe.fit
) -> Predictions:
  """The label of every held-out spot that the feature sees, by a probe fitted on all other spots.

  Folds that cannot be fitted or scored are left out and named in the notes.
  """
  divisions, left_out = divided(cohort, folds, feature, label)
  names = {name for _, *sides in divisions for side in sides for name in side.spots[label]}
  classes = tuple(sorted(names))
  tables, scores, shares, notes = [], [], {}, {}
  for fold, to_fit, test in divisions:
    probe, note = fit(to_fit, feature, label)
    columns = np.searchsorted(classes, probe.classes_)
    found = np.zeros((len(test.spots), len(classes)))
    found[:, columns] = probe.predict_proba(test.features[feature])
    table = test.spots[["row", "section_id", "donor_id"]].assign(
      fold=fold.held_out,
      truth=test.spots[label].to_numpy(str),
      predicted=np.asarray(classes)[found.argmax(1)],
    )
    tables.append(table)
    scores.append(found)
    counts = to_fit.spots[label].value_counts(normalize=True)
    shares[fold.held_out] = counts.reindex(classes, fill_value=0.0).to_numpy(float)
    notes.setdefault(note, []).append(fold.held_out)
  said = [note if len(notes) == 1 else f"{', '.join(n)}: {note}" for note, n in notes.items()]
  return Predictions(
    spots=pd.concat(tables, ignore_index=True) if tables else _no_spots(),
    classes=classes,
    scores=np.concatenate(scores) if scores else np.zeros((0, len(classes))),
    shares=shares,
    notes=(*filter(None, said), *_never_seen(tables, classes, shares), *left_out),
  )


def _never_seen(
  tables: Sequence[pd.DataFrame], classes: Sequence[str], shares: Mapping[str, np.ndarray]
) -> list[str]:
  """Classes that a fold holds out and could not learn; their spots count as errors."""
  found = []
  for table in tables:
    fold = table["fold"].iloc[0]
    known = {name for name, share in zip(classes, shares[fold], strict=True) if share > 0}
    if unseen := sorted(set(table["truth"]) - known):
      found.append(f"{fold}: never seen in fitting, counted as errors: {', '.join(unseen)}")
  return found


def _no_spots() -> pd.DataFrame:
  return pd.DataFrame(
    {name: [] for name in ("row", "section_id", "donor_id", "fold", "truth", "predicted")}
  )
