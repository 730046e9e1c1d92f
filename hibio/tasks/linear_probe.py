"""The linear probe: logistic regression whose penalty is chosen on donors of its own side only."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, Shaped
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from hibio.tasks.cohort import Cohort

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
  held_out = np.concatenate([held for _, held in splits])
  found = {penalty: np.empty_like(names) for penalty in PENALTIES}
  for fit_rows, held in splits:
    scaler = StandardScaler().fit(values[fit_rows])
    regression = _regression().set_params(warm_start=True)
    for penalty in PENALTIES:
      regression.set_params(C=penalty)
      _fit(regression, scaler.transform(values[fit_rows]), names[fit_rows])
      found[penalty][held] = regression.predict(scaler.transform(values[held]))
  truth = names[held_out]
  scores = [
    recall_score(
      truth, found[penalty][held_out], labels=np.unique(truth), average="macro", zero_division=0
    )
    for penalty in PENALTIES
  ]
  return PENALTIES[int(np.argmax(scores))]


def _regression() -> LogisticRegression:
  return LogisticRegression(class_weight="balanced", tol=1e-3, max_iter=200)


def _fit(model, values: np.ndarray, names: np.ndarray) -> None:
  # Of a fit that did not converge the caller's note tells; a warning a fit would bury the results.
  with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    model.fit(values, names)
