"""Annotation by linear probe: are the labels of unseen donors linear in the frozen embedding?"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.spatial.distance import cdist
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import SGDClassifier
from sklearn.preprocessing import StandardScaler

from hibio.evaluation import class_metrics
from hibio.evaluation.baselines import MAJORITY
from hibio.evaluation.cohort import Cohort
from hibio.evaluation.folds import Fold, described
from hibio.evaluation.predictions import (
  Predictions,
  capped,
  confusion_of,
  divided,
  probed,
  too_few,
)
from hibio.evaluation.rows import Row


def rows(
  found: Predictions, cohort: Cohort, folds: Sequence[Fold], label: str, method: str
) -> Iterator[Row]:
  """Predictions of the linear probe as results."""
  yield from class_metrics.rows(
    found, cohort.dataset, f"linear probe, {label}", described(folds), method
  )


def majority(
  found: Predictions, cohort: Cohort, folds: Sequence[Fold], label: str
) -> Iterator[Row]:
  """The most frequent class for every spot: same spots, same metrics, once for each label."""
  yield from rows(class_metrics.majority(found), cohort, folds, label, MAJORITY)


SHOTS = (1, 2, 4, 8, 16)
"""Labelled spots a class."""

REPEATS = 10


def few_shot(
  cohort: Cohort, folds: Sequence[Fold], feature: str, label: str, method: str
) -> Iterator[Row]:
  """Nearest class mean of a few labelled spots, redrawn `REPEATS` times from the fitting donors.

  Each row is the mean over draws of the balanced accuracy over all held-out spots; `spread` is the
  standard deviation over draws. Features are standardised over all labelled spots of the fitting
  donors, for which no label is read. A class with fewer spots than asked for gives all it has; one
  that the fitting donors lack counts as errors.
  """
  divisions, left_out = divided(cohort, folds, feature, label)
  every = [side.spots[label].to_numpy(str) for _, *both in divisions for side in both]
  classes, codes = np.unique(np.concatenate([[], *every]).astype(str), return_inverse=True)
  codes = np.split(codes, np.cumsum([len(names) for names in every])[:-1]) if every else []
  sides = [
    (*_standardised(fit, test, feature), known)
    for (_, fit, test), known in zip(divisions, codes[::2], strict=True)
  ]
  truth = np.concatenate([np.zeros(0, int), *codes[1::2]])
  present = np.unique(truth)
  for shots in SHOTS:
    protocol = f"few-shot, {shots} spots a class, nearest class mean, {label}"
    common = ("annotation", cohort.dataset, protocol, described(folds), "balanced_accuracy", method)
    if len(present) < 2:
      yield Row(*common, None, len(truth), None, too_few(len(present), left_out))
      continue
    scores = {}
    for draw in range(REPEATS):
      rng = np.random.default_rng(draw)
      predicted = np.concatenate(
        [nearest_class_mean(values, known, unseen, shots, rng) for values, unseen, known in sides]
      )
      counted = confusion_of(truth, predicted, len(classes))[present]
      recalls = counted[np.arange(len(present)), present] / counted.sum(1)
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
  return classes[cdist(unseen, means).argmin(axis=1)]


def _standardised(fit: Cohort, test: Cohort, feature: str) -> tuple[np.ndarray, np.ndarray]:
  scaler = StandardScaler().fit(fit.features[feature])
  return scaler.transform(fit.features[feature]), scaler.transform(test.features[feature])


ALPHAS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4)
SEEDS = 5
MAX_SPOTS = 6000
"""Spots that are drawn before dividing; 25 fits by SGD of all would take minutes a feature."""

LEAKY = "LEAKY: neighbouring spots on both sides"


def random_split(cohort: Cohort, feature: str, label: str, method: str) -> Iterator[Row]:
  """Macro-F1 over the classes in the 10 % of test spots, mean over seeds.

  Features are used as they are. Chance is what guesses with the class frequencies of the 80 %
  score on the same spots.
  """
  spots = probed(cohort, feature, label)
  drawn = np.random.default_rng(0).permutation(len(spots.spots))[:MAX_SPOTS]
  names, values = spots.spots[label].to_numpy(str)[drawn], spots.features[feature][drawn]
  names = np.unique(names, return_inverse=True)[1]  # of numbers less is asked again and again
  common = (
    *("annotation", cohort.dataset, f"random spots 80/10/10, SGD, {label} ({LEAKY})"),
    *("random spots (LEAKY)", "macro_f1", method),
  )
  scores, chances, alphas, left_out = {}, [], [], []
  for seed in range(SEEDS):
    fit, validation, test = np.split(
      np.random.default_rng(seed).permutation(len(names)),
      [int(0.8 * len(names)), int(0.9 * len(names))],
    )
    if min(len(set(names[rows])) for rows in (fit, validation, test)) < 2:
      left_out.append(f"seed {seed} left out: one class on one side")
      continue
    tried = {alpha: _fitted(values[fit], names[fit], alpha, seed) for alpha in ALPHAS}
    alpha = max(
      ALPHAS, key=lambda a: _macro_f1(names[validation], tried[a].predict(values[validation]))
    )
    alphas.append(f"{alpha:g}")
    scores[f"seed {seed}"] = _macro_f1(names[test], tried[alpha].predict(values[test]))
    guess = DummyClassifier(strategy="stratified", random_state=seed).fit(values[fit], names[fit])
    chances.append(_macro_f1(names[test], guess.predict(values[test])))
  if not scores:
    yield Row(*common, None, len(names), None, "; ".join(left_out))
    return
  found = list(scores.values())
  yield Row(
    *common,
    float(np.mean(found)),
    len(names),
    float(np.mean(chances)),
    "; ".join((f"alpha {', '.join(alphas)}; at most {MAX_SPOTS} spots", *left_out)),
    float(np.std(found, ddof=1)) if len(found) > 1 else None,
    scores,
  )


def _fitted(
  values: Float[np.ndarray, "spot width"],
  names: Shaped[np.ndarray, " spot"],
  alpha: float,
  seed: int,
) -> SGDClassifier:
  classifier = SGDClassifier(
    loss="log_loss", alpha=alpha, class_weight="balanced", random_state=seed, max_iter=100
  )
  with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    return classifier.fit(values, names)


def _macro_f1(truth: Int[np.ndarray, " spot"], predicted: Int[np.ndarray, " spot"]) -> float:
  """Mean F1 of the classes that are in the truth."""
  counted = confusion_of(truth, predicted, 1 + int(max(truth.max(), predicted.max())))
  return float(class_metrics.f1(counted)[np.unique(truth)].mean())
