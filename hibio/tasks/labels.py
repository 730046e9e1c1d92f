"""Which spots carry a label that counts, and how folds divide them for one feature."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy.sparse
from jaxtyping import Bool

from hibio.tasks.cohort import Cohort
from hibio.tasks.folds import Fold

UNSCORED = ("", "nan", "undetermined")
"""Labels that say that there is no label."""

Division = tuple[Fold, Cohort, Cohort]
"""A fold, the labelled spots to fit on and those to score."""


def is_labelled(cohort: Cohort, label: str) -> Bool[np.ndarray, " spot"]:
  """Which spots carry a label that counts."""
  return ~cohort.spots[label].astype(str).str.lower().isin(UNSCORED).to_numpy()


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
