"""Features that somebody else extracted, e.g. of a foundation model, as one more method."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from data_pipelines.features import imported
from data_pipelines.loading.corpus import Corpus
from hibio.encoders import weights
from hibio.evaluation.cohort import Cohort


def features(
  path: str, corpus: Corpus, cohort: Cohort
) -> tuple[Float[np.ndarray, "spot width"], Bool[np.ndarray, " spot"]]:
  """Features from a file for the spots that have a patch, and which of them it has; zero elsewhere.

  Raises:
    BadInputError: as `data_pipelines.features.imported.read`.
  """
  rows = np.flatnonzero(cohort.spots["has_patch"])
  spots, sections = cohort.spots.iloc[rows], corpus.manifest["sections"]
  found = imported.read(path, spots, sections, weights.read)
  values = np.zeros((len(cohort.spots), found.values.shape[1]), np.float32)
  known = np.zeros(len(values), bool)
  known[rows] = found.known
  values[known] = found.values[found.known]
  return values, known
