import dataclasses

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from hibio.evaluation.cohort import Cohort


@pytest.fixture
def cohort() -> Cohort:
  """Three donors of two sections; counts of each leaf come from its own gene profile."""
  rng = np.random.default_rng(0)
  n, genes, leaves = 360, 40, 4
  leaf = rng.integers(0, leaves, n)
  profile = rng.gamma(0.5, 4.0, (leaves, genes))
  counts = rng.poisson(profile[leaf] * rng.lognormal(0, 0.2, (n, 1)) + 0.2)
  section = np.arange(n) // 60
  spots = pd.DataFrame(
    {
      "spot_index": np.arange(n),
      "section_id": [f"s{s}" for s in section],
      "donor_id": [f"d{s // 2}" for s in section],
      "patient": [f"d{s // 2}" for s in section],
      "split": np.where(section < 4, "train", "test"),
      "x_um": rng.random(n) * 1000,
      "y_um": rng.random(n) * 1000,
      "has_patch": True,
      "has_counts": True,
      "leaf": [f"leaf{value}" for value in leaf],
    }
  )
  measured = {f"s{s}": np.ones(genes, bool) for s in range(6)}
  features = {
    "truth": np.eye(leaves, dtype=np.float32)[leaf],
    "noise": rng.normal(size=(n, 8)).astype(np.float32),
  }
  return Cohort("toy", spots, scipy.sparse.csr_matrix(counts), measured, features)


@pytest.fixture
def annotated(cohort) -> Cohort:
  """The cohort with features that say what they have seen, and all leaves in each donor."""
  leaf = cohort.features["truth"].argmax(1)
  rng = np.random.default_rng(1)
  blurred = np.eye(4)[leaf] + rng.normal(size=(len(leaf), 4)) * 0.7
  features = {
    "truth/gene": cohort.features["truth"],
    "noise/image": cohort.features["noise"],
    "blurred/image": blurred.astype(np.float32),
  }
  return dataclasses.replace(cohort, features=features)
