"""Sums that correlations are made of.

They add up: moments of sections give those of their donor and of the fold, so that all levels of
pooling come from one pass over the values.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float

_CONSTANT = 1e-10
"""Share of the mean square below which a variance is rounding: the gene is constant."""


@dataclasses.dataclass(frozen=True)
class Moments:
  """Sums over spots, one for each gene."""

  count: int
  truth: Float[np.ndarray, " gene"]
  predicted: Float[np.ndarray, " gene"]
  truth_truth: Float[np.ndarray, " gene"]
  predicted_predicted: Float[np.ndarray, " gene"]
  truth_predicted: Float[np.ndarray, " gene"]

  def __add__(self, other: Moments) -> Moments:
    fields = dataclasses.fields(self)
    return Moments(*(getattr(self, f.name) + getattr(other, f.name) for f in fields))


def moments(
  truth: Float[np.ndarray, "spot gene"], predicted: Float[np.ndarray, "spot gene"]
) -> Moments:
  """The moments of these spots, in float64."""
  t, p = truth.astype(np.float64), predicted.astype(np.float64)
  return Moments(
    len(t),
    t.sum(0),
    p.sum(0),
    np.einsum("sg,sg->g", t, t),
    np.einsum("sg,sg->g", p, p),
    np.einsum("sg,sg->g", t, p),
  )


def total(parts: Iterable[Moments]) -> Moments:
  """The moments of all spots of the parts together."""
  return functools.reduce(operator.add, parts)


def pearson(m: Moments) -> Float[np.ndarray, " gene"]:
  """Pearson correlation of each gene; NaN where the truth is constant.

  A constant prediction of a gene that varies scores 0: it says nothing.
  """
  truth, predicted = variances(m)
  covariance = m.truth_predicted / m.count - (m.truth / m.count) * (m.predicted / m.count)
  says = (truth > 0) & (predicted > 0)
  found = np.where(says, covariance / np.sqrt(np.where(says, truth * predicted, 1.0)), 0.0)
  return np.where(truth > 0, np.clip(found, -1.0, 1.0), np.nan)


def variances(m: Moments) -> tuple[Float[np.ndarray, " gene"], Float[np.ndarray, " gene"]]:
  """Variance of the truth and of the prediction; exactly 0 where constant."""
  return (
    _variance(m.truth / m.count, m.truth_truth / m.count),
    _variance(m.predicted / m.count, m.predicted_predicted / m.count),
  )


def _variance(mean, mean_square):
  variance = mean_square - mean**2
  return np.where(variance > _CONSTANT * mean_square, variance, 0.0)
