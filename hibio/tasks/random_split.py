"""Annotation over a random split of spots: leaky, and here only to be set beside published numbers.

The recipe of STimage-1K4M (Chen et al., NeurIPS 2024): spots divided at random 80/10/10, five
seeds, class-balanced logistic regression by SGD, its penalty chosen on the 10 % of validation,
macro-F1. Neighbouring spots of one section look alike and lie on both sides, so the number says
little of an unseen donor.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Shaped
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import f1_score

from hibio.tasks.cohort import Cohort
from hibio.tasks.labels import probed
from hibio.tasks.rows import Row

ALPHAS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4)
SEEDS = 5
MAX_SPOTS = 6000
"""Spots that are drawn before dividing; 25 fits by SGD of all would take minutes a feature."""

LEAKY = "LEAKY: neighbouring spots on both sides"


def evaluate(cohort: Cohort, feature: str, label: str, method: str) -> Iterator[Row]:
  """Macro-F1 over the classes in the 10 % of test spots, mean over seeds.

  Features are used as they are. Chance is what guesses with the class frequencies of the 80 %
  score on the same spots.
  """
  spots = probed(cohort, feature, label)
  drawn = np.random.default_rng(0).permutation(len(spots.spots))[:MAX_SPOTS]
  names, values = spots.spots[label].to_numpy(str)[drawn], spots.features[feature][drawn]
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


def _macro_f1(truth: np.ndarray, predicted: np.ndarray) -> float:
  return float(
    f1_score(truth, predicted, labels=np.unique(truth), average="macro", zero_division=0)
  )
