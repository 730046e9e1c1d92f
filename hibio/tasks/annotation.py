"""Annotation by linear probe: are the labels of unseen donors linear in the frozen embedding?"""

from __future__ import annotations

from collections.abc import Iterator

from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, recall_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hibio.tasks.cohort import Cohort
from hibio.tasks.rows import Row

UNSCORED = ("", "nan", "undetermined")
"""Labels that say that there is no label."""


def evaluate(
  fit: Cohort, held_out: Cohort, feature: str, label: str, method: str, split: str
) -> Iterator[Row]:
  """Logistic regression fitted on `fit`'s donors, scored on `held_out`'s.

  Scores are over the classes present in the held-out spots; spots of a class that the probe never
  saw count as errors. Chance is one over the number of those classes (balanced accuracy and
  macro-F1 of guessing evenly; for macro-F1 it is an upper bound).
  """
  protocol = f"linear probe, {label}, held-out donors"
  common = ("annotation", held_out.dataset, protocol, split)
  fit, held_out = labelled(fit, label), labelled(held_out, label)
  classes = sorted(set(fit.spots[label]))
  present = sorted(set(held_out.spots[label]))
  if len(classes) < 2 or len(present) < 2:
    reason = f"needs 2 classes on both sides: {len(classes)} to fit, {len(present)} held out"
    yield Row(*common, "balanced_accuracy", method, None, len(held_out.spots), None, reason)
    return
  probe = make_pipeline(
    StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", tol=1e-3, max_iter=500)
  )
  probe.fit(fit.features[feature], fit.spots[label])
  predicted = probe.predict(held_out.features[feature])
  truth = held_out.spots[label].to_numpy(str)
  unseen = sorted(set(present) - set(classes))
  note = f"classes: {len(present)}" + (
    f"; never seen in fitting: {', '.join(unseen)}" if unseen else ""
  )
  yield Row(
    *common,
    "balanced_accuracy",
    method,
    float(recall_score(truth, predicted, labels=present, average="macro", zero_division=0)),
    len(truth),
    1 / len(present),
    note,
  )
  yield Row(
    *common,
    "macro_f1",
    method,
    float(f1_score(truth, predicted, labels=present, average="macro", zero_division=0)),
    len(truth),
    1 / len(present),
    note,
  )


def labelled(cohort: Cohort, label: str) -> Cohort:
  """Only the spots that carry a label that counts."""
  names = cohort.spots[label].astype(str)
  return cohort.subset(~names.str.lower().isin(UNSCORED).to_numpy())
