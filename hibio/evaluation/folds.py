"""Who is held out: each fold fits on all spots but one donor's and is scored on that donor's."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold

from hibio.evaluation.cohort import Cohort
from hibio.evaluation.scope import SAME_PATIENT


@dataclasses.dataclass(frozen=True)
class Fold:
  """One group of spots held out. It divides any subset of a cohort, e.g. the labelled spots.

  Attributes:
    column: of `Cohort.spots` that names the group of each spot: "donor_id", "section_id", ...
    held_out: the group that is scored; all others are fitted on.
    leaky: what is fitted on shares donors with what is scored.
    apart: what else a run held out is not fitted on either.
    same_patient: sections of the same patient are fitted on.
  """

  column: str
  held_out: str
  leaky: bool = False
  apart: bool = False
  same_patient: bool = False

  def split(self, cohort: Cohort) -> tuple[Cohort, Cohort]:
    """(to fit, to score)."""
    test = (cohort.spots[self.column].astype(str) == self.held_out).to_numpy()
    left_out = test | (self.apart & (cohort.spots["split"] == "test").to_numpy())
    return cohort.subset(~left_out), cohort.subset(test)


def folds_of(cohort: Cohort, donors: Sequence[str]) -> list[Fold]:
  """Leave-one-donor-out over `donors`.

  Where sections count as donors of their own, each is a fold, and whoever was held out with it is
  not fitted on. With a single donor in the whole cohort its sections are held out one by
  one instead, and the folds are marked leaky; a single section cannot be divided and gives no fold.
  """
  spots = cohort.spots
  if (spots["donor_id"] != spots["patient"]).any():
    kin = set(spots.loc[spots["split"] != "test", "patient"])
    patient = dict(zip(spots["donor_id"], spots["patient"], strict=True))
    return [
      Fold("section_id", name, apart=True, same_patient=patient[name] in kin) for name in donors
    ]
  if spots["donor_id"].nunique() > 1:
    return [Fold("donor_id", donor) for donor in donors]
  sections = list(dict.fromkeys(cohort.spots["section_id"]))
  if len(sections) > 1:
    return [Fold("section_id", section, leaky=True) for section in sections]
  return []


def described(folds: Sequence[Fold]) -> str:
  """The folds in words, for `Row.split`."""
  if not folds:
    return "nothing held out"
  kind = {"donor_id": "donor", "section_id": "section"}.get(folds[0].column, folds[0].column)
  names = ", ".join(fold.held_out for fold in folds)
  leaky = " (same donor in fitting: LEAKY)" if any(fold.leaky for fold in folds) else ""
  same = SAME_PATIENT if any(fold.same_patient for fold in folds) else ""
  return f"leave-one-{kind}-out: {names}{leaky}{same}"


_INNER_FOLDS = 5


def inner_folds(spots: pd.DataFrame) -> tuple[list[np.ndarray], str]:
  """Rows that each inner fold leaves out, and in words what is left out.

  Donors, at most five groups of them; sections, where each counts as a donor of its own. A single
  donor can only be divided by its sections, and a single section into blocks of neighbouring rows:
  the penalty then knows nothing of new donors.
  """
  by_section = (spots["donor_id"].astype(str) == spots["section_id"].astype(str)).all()
  choices = {
    "sections" if by_section else "donors": spots["donor_id"].to_numpy(str),
    "sections of one donor": spots["section_id"].to_numpy(str),
    "blocks of one section": np.arange(len(spots)) * _INNER_FOLDS // max(len(spots), 1),
  }
  for words, groups in choices.items():
    num_groups = len(set(groups))
    if num_groups > 1:
      folds = GroupKFold(min(_INNER_FOLDS, num_groups)).split(groups, groups=groups)
      return [left_out for _, left_out in folds], words
  return [np.arange(len(spots))], "nothing: too few spots"
