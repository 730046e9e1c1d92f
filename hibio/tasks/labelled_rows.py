"""Which rows of a cohort carry a label: for arrays that lie beside a cohort and not in it."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Int

from hibio.tasks.annotation import labelled
from hibio.tasks.cohort import Cohort


def labelled_rows(cohort: Cohort, label: str) -> Int[np.ndarray, " labelled"]:
  """The rows that `annotation.labelled` keeps."""
  numbered = cohort.spots.assign(_row=np.arange(len(cohort.spots)))
  return labelled(dataclasses.replace(cohort, spots=numbered), label).spots["_row"].to_numpy()
