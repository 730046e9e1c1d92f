"""Do embeddings give away which section a spot comes from? Then they hold stain, depth or batch."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

MOST_SPOTS = 2000


class Told(NamedTuple):
  """Share of spots whose section is named rightly, and that of always naming the commonest one."""

  accuracy: float
  chance: float


def section_probe(
  embedding: Float[np.ndarray, "spot width"],
  section: Int[np.ndarray, " spot"],
  positions_um: Float[np.ndarray, "spot 2"],
) -> Told | None:
  """A linear probe of the section, fitted on the left half of each and asked about the right half.

  Halves by position and not by chance: neighbours resemble each other, and one would answer for
  the other. None where there are fewer than two sections of at least two spots.

  Args:
    embedding: more than `MOST_SPOTS` spots are thinned out evenly.
    positions_um: in the spot's own section.
  """
  if len(embedding) > MOST_SPOTS:
    kept = np.linspace(0, len(embedding) - 1, MOST_SPOTS).astype(int)
    embedding, section, positions_um = embedding[kept], section[kept], positions_um[kept]
  fit, asked = [], []
  for name in np.unique(section):
    rows = np.flatnonzero(section == name)
    if len(rows) > 1:
      ordered = rows[np.argsort(positions_um[rows, 0], kind="stable")]
      fit.append(ordered[: len(rows) // 2])
      asked.append(ordered[len(rows) // 2 :])
  if len(fit) < 2:
    return None
  fit, asked = np.concatenate(fit), np.concatenate(asked)
  probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, tol=1e-3))
  with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)  # near enough for a monitor
    probe.fit(embedding[fit], section[fit])
  right = probe.predict(embedding[asked]) == section[asked]
  shares = np.unique(section[asked], return_counts=True)[1] / len(asked)
  return Told(float(right.mean()), float(shares.max()))
