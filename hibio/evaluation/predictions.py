"""Which spots carry a label that counts, and how folds divide them for one feature."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
from jaxtyping import Bool, Float, Int, Shaped
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from data_pipelines.section import UNLABELLED
from hibio.evaluation.cohort import Cohort
from hibio.evaluation.folds import Fold

Division = tuple[Fold, Cohort, Cohort]
"""A fold, the labelled spots to fit on and those to score."""


def is_labelled(cohort: Cohort, label: str) -> Bool[np.ndarray, " spot"]:
  """Which spots carry a label that counts."""
  return ~cohort.spots[label].astype(str).str.lower().isin(UNLABELLED).to_numpy()


def labelled(cohort: Cohort, label: str) -> Cohort:
  """Only the spots that carry a label that counts."""
  return cohort.subset(is_labelled(cohort, label))


def probed(cohort: Cohort, feature: str, label: str) -> Cohort:
  """The labelled spots that a feature sees, with that feature alone and no counts.

  Spots keep the row they have in `cohort` in a column "row". Without the rest, dividing the spots
  again and again costs nothing.
  """
  spots = len(cohort.spots)
  alone = dataclasses.replace(
    cohort,
    spots=cohort.spots.assign(row=np.arange(spots)),
    counts=scipy.sparse.csr_matrix((spots, 0)),
    features={feature: cohort.features[feature]},
    readout={},
  )
  return labelled(alone.seen_by(feature), label)


def divided(
  cohort: Cohort, folds: Sequence[Fold], feature: str, label: str
) -> tuple[list[Division], tuple[str, ...]]:
  """The spots of `probed`, divided by each fold; and why folds were left out."""
  cohort = probed(cohort, feature, label)
  divisions, left_out = [], []
  for fold in folds:
    fit, test = fold.split(cohort)
    classes = fit.spots[label].nunique()
    if not len(test.spots):
      left_out.append(f"{fold.held_out}: no labelled spot")
    elif classes < 2:
      left_out.append(f"{fold.held_out}: needs 2 classes to fit, found {classes}")
    else:
      divisions.append((fold, fit, test))
  return divisions, tuple(left_out)


def too_few(present: int, notes: Sequence[str]) -> str:
  """Why nothing is scored of so many classes held out: where of none, why folds were left out."""
  said = f"needs 2 classes held out, found {present}"
  return "; ".join((said, *notes) if present else (*notes, said))


def labelled_rows(cohort: Cohort, label: str) -> Int[np.ndarray, " labelled"]:
  """The rows that `annotation.labelled` keeps."""
  numbered = cohort.spots.assign(_row=np.arange(len(cohort.spots)))
  return labelled(dataclasses.replace(cohort, spots=numbered), label).spots["_row"].to_numpy()


PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)
"""Values of C to choose from (a larger C is a weaker L2 penalty), strongest penalty first."""

DEFAULT_PENALTY = 1e-1
"""Where there is nothing to choose it on."""

INNER_FOLDS = 3
MAX_SPOTS_PER_CLASS = 2000
"""Spots of a class that the probe is fitted on."""

MAX_SPOTS_TO_CHOOSE = 500
"""Spots of a class that C is chosen on: those are twelve fits, most of the time it all takes."""

Split = tuple[np.ndarray, np.ndarray]
"""Indices of the spots to fit on and of those held out."""


def fit(cohort: Cohort, feature: str, label: str) -> tuple[Pipeline, str]:
  """Standardised features -> class-balanced L2 logistic regression, and how it was fitted.

  C is the one with the best balanced accuracy over inner folds that divide the cohort by donor; of
  equally good ones the strongest penalty.
  """
  rng = np.random.default_rng(0)
  names, values = cohort.spots[label].to_numpy(str), cohort.features[feature]
  few, drawn = (capped(names, most, rng) for most in (MAX_SPOTS_TO_CHOOSE, MAX_SPOTS_PER_CLASS))
  donors, sections = (cohort.spots[of].to_numpy(str)[few] for of in ("donor_id", "section_id"))
  splits, how = inner_splits(names[few], donors, sections)
  penalty = choose_penalty(values[few], names[few], splits) if splits else DEFAULT_PENALTY
  probe = make_pipeline(StandardScaler(), _regression().set_params(C=penalty))
  _fit(probe, values[drawn], names[drawn])
  note = f"C = {penalty:g}, {how}"
  if len(few) < len(names):
    note += (
      f"; at most {MAX_SPOTS_TO_CHOOSE} spots a class to choose C on and"
      f" {MAX_SPOTS_PER_CLASS} to fit, drawn with seed 0"
    )
  if probe[-1].n_iter_.max() >= probe[-1].max_iter:
    note += f"; not converged after {probe[-1].max_iter} iterations"
  return probe, note


def capped(
  names: Shaped[np.ndarray, " spot"], most: int, rng: np.random.Generator
) -> Int[np.ndarray, " kept"]:
  """Indices of at most `most` spots of each class, drawn without replacement, in their order."""
  drawn = [rng.permutation(np.flatnonzero(names == name))[:most] for name in np.unique(names)]
  return np.sort(np.concatenate(drawn))


def inner_splits(
  names: Shaped[np.ndarray, " spot"],
  donors: Shaped[np.ndarray, " spot"],
  sections: Shaped[np.ndarray, " spot"],
) -> tuple[list[Split], str]:
  """Up to `INNER_FOLDS` divisions of the spots, and by what they divide.

  No donor lies on both sides. With a single donor its sections are divided instead, stratified by
  class; with a single section there is no split. Splits with one class to fit are left out.
  """
  by_donor = len(set(donors)) > 1
  groups = donors if by_donor else sections
  folds = min(INNER_FOLDS, len(set(groups)), int(np.unique(names, return_counts=True)[1].max()))
  if folds < 2:
    return [], "not chosen: one section to fit on"
  splitter = GroupKFold(folds) if by_donor else StratifiedGroupKFold(folds)
  with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="The least populated class")
    splits = list(splitter.split(names, names, groups))
  splits = [(fit, held) for fit, held in splits if len(set(names[fit])) > 1]
  if not splits:
    return [], "not chosen: inner folds with one class"
  what = "donors" if by_donor else "sections of the one donor (LEAKY choice)"
  return splits, f"chosen over {len(splits)} inner folds of {what}"


def choose_penalty(
  values: Float[np.ndarray, "spot width"],
  names: Shaped[np.ndarray, " spot"],
  splits: Sequence[Split],
) -> float:
  """The C with the best balanced accuracy over all spots that the splits hold out."""
  classes, names = np.unique(names, return_inverse=True)  # of numbers less is asked again and again
  held_out = np.concatenate([held for _, held in splits])
  found = {penalty: np.empty_like(names) for penalty in PENALTIES}
  for fit_rows, held in splits:
    scaler = StandardScaler().fit(values[fit_rows])
    seen, unseen = (scaler.transform(values[rows]) for rows in (fit_rows, held))
    regression = _regression().set_params(warm_start=True)
    for penalty in PENALTIES:
      regression.set_params(C=penalty)
      _fit(regression, seen, names[fit_rows])
      found[penalty][held] = regression.predict(unseen)
  tables = [
    confusion_of(names[held_out], found[penalty][held_out], len(classes)) for penalty in PENALTIES
  ]
  present = tables[0].sum(1) > 0
  scores = [(np.diag(table)[present] / table.sum(1)[present]).mean() for table in tables]
  return PENALTIES[int(np.argmax(scores))]


def _regression() -> LogisticRegression:
  return LogisticRegression(class_weight="balanced", tol=1e-3, max_iter=200)


def _fit(model, values: np.ndarray, names: np.ndarray) -> None:
  # Of a fit that did not converge the caller's note tells; a warning a fit would bury the results.
  with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    model.fit(values, names)


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

  @functools.cached_property
  def truth(self) -> Int[np.ndarray, " spot"]:
    """Number of each spot's class."""
    return np.searchsorted(self.classes, self.spots["truth"].to_numpy(str))

  @functools.cached_property
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
    return confusion_of(self.truth, self.predicted, len(self.classes))


def confusion_of(
  truth: Int[np.ndarray, " spot"], predicted: Int[np.ndarray, " spot"], k: int
) -> Int[np.ndarray, "label label"]:
  """Spots by true class (rows) and predicted class (columns), of `k` classes."""
  return np.bincount(truth * k + predicted, minlength=k * k).reshape(k, k)


def predictions(
  cohort: Cohort, folds: Sequence[Fold], feature: str, label: str, fit: Fit = fit
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
