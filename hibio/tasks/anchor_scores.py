"""Does a gene set's anchor light up in the spots of a section where its activity is high?"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata

ACTIVE_SHARE = 0.2
"""A set counts as active in the fifth of a section's spots where its activity is highest."""

_FLAT = 1e-9


def correlations(
  activity: Float[np.ndarray, "spot set"], score: Float[np.ndarray, "spot set"]
) -> Float[np.ndarray, " set"]:
  """Pearson correlation of each set's activity and score; not-a-number where one is constant."""
  a, b = (one.astype(np.float64) - one.mean(0, dtype=np.float64) for one in (activity, score))
  norms = np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0)
  return np.where(norms > _FLAT, (a * b).sum(0) / np.maximum(norms, _FLAT), np.nan)


def aurocs(
  activity: Float[np.ndarray, "spot set"], score: Float[np.ndarray, "spot set"]
) -> Float[np.ndarray, " set"]:
  """Chance that a spot in which the set is active scores above another one, for each set.

  The Mann-Whitney statistic over its largest value; equal scores count half. Not-a-number where
  the activity is constant.
  """
  active = activity > np.quantile(activity, 1 - ACTIVE_SHARE, axis=0)
  positive = active.sum(0)
  pairs = positive * (len(active) - positive)
  wins = np.where(active, rankdata(score, axis=0), 0.0).sum(0) - positive * (positive + 1) / 2
  return np.where(pairs > 0, wins / np.maximum(pairs, 1), np.nan)


def unlike(
  sets: Bool[np.ndarray, "set gene"],
  known: Bool[np.ndarray, "known gene"],
  max_jaccard: float = 0.5,
) -> Bool[np.ndarray, " set"]:
  """Sets that share no more than `max_jaccard` of their genes with any known one."""
  if not len(known):
    return np.ones(len(sets), bool)
  a, b = sets.astype(np.float32), known.astype(np.float32)
  common = a @ b.T
  either = a.sum(1)[:, None] + b.sum(1)[None] - common
  return (common / np.maximum(either, 1.0)).max(1) <= max_jaccard
