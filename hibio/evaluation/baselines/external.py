"""Features that somebody else extracted, e.g. of a foundation model, as one more method."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from data_pipelines.features import imported
from data_pipelines.loading.corpus import Corpus
from hibio.encoders import weights
from hibio.evaluation.cohort import Cohort


def features(path: str, corpus: Corpus, cohort: Cohort) -> Float[np.ndarray, "spot width"]:
  """Features from a file for the spots that have a patch; zero elsewhere.

  Spots that the file leaves out get the mean, as they are few.

  Raises:
    BadInputError: as `data_pipelines.features.imported.read`.
  """
  rows = np.flatnonzero(cohort.spots["has_patch"])
  spots, sections = cohort.spots.iloc[rows], corpus.manifest["sections"]
  found = imported.read(path, spots, sections, weights.read)
  values = np.where(found.known[:, None], found.values, found.values[found.known].mean(axis=0))
  every = np.zeros((len(cohort.spots), values.shape[1]), np.float32)
  every[rows] = values
  return every
