"""Ridge regression whose penalty is chosen on donors that it was not fitted on.

Everything is done on sums of products (`_Sums`): they add up over donors, so that leaving a donor
out is a subtraction and a penalty costs no further pass over the spots.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Callable

import numpy as np
import pandas as pd
from jaxtyping import Float
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler

PENALTIES = tuple(10.0**power for power in range(-1, 7))
_INNER_FOLDS = 5


def inner_folds(spots: pd.DataFrame) -> tuple[list[np.ndarray], str]:
  """Rows that each inner fold leaves out, and in words what is left out.

  Donors, at most five groups of them. A single donor can only be divided by its sections, and a
  single section into blocks of neighbouring rows: the penalty then knows nothing of new donors.
  """
  choices = {
    "donors": spots["donor_id"].to_numpy(str),
    "sections of one donor": spots["section_id"].to_numpy(str),
    "blocks of one section": np.arange(len(spots)) * _INNER_FOLDS // max(len(spots), 1),
  }
  for words, groups in choices.items():
    num_groups = len(set(groups))
    if num_groups > 1:
      folds = GroupKFold(min(_INNER_FOLDS, num_groups)).split(groups, groups=groups)
      return [left_out for _, left_out in folds], words
  return [np.arange(len(spots))], "nothing: too few spots"


def ridge_cv(
  fit: Float[np.ndarray, "spot width"], spots: pd.DataFrame, test: Float[np.ndarray, "query width"]
) -> Callable:
  """Ridge with intercept on standardised features. See `hibio.tasks.protocols` for the arguments.

  One penalty for all genes of a list: the one with the highest mean R2 on left-out donors, every
  gene counting the same.
  """
  scaler = StandardScaler().fit(fit)
  x, query = scaler.transform(fit), scaler.transform(test)
  folds, words = inner_folds(spots)
  products = [x[rows].T @ x[rows] for rows in folds]

  def predict(targets):
    parts = [_Sums.of(x[rows], targets[rows], xx) for rows, xx in zip(folds, products, strict=True)]
    total = functools.reduce(operator.add, parts)
    penalty = _best_penalty(parts, total) if len(parts) > 1 else PENALTIES[-1]
    weights, x_mean, y_mean = _solve(total, penalty)
    predicted = (query - x_mean.astype(np.float32)) @ weights.astype(np.float32)
    note = f"penalty {penalty:g} chosen over {words}"
    return predicted + y_mean.astype(np.float32), note

  return predict


@dataclasses.dataclass(frozen=True)
class _Sums:
  """Sums over spots of features x, targets y and their products, in float64."""

  count: int
  x: np.ndarray
  y: np.ndarray
  xx: np.ndarray
  xy: np.ndarray
  yy: np.ndarray

  @classmethod
  def of(cls, x, y, xx) -> _Sums:
    sums = (x.sum(0, dtype=np.float64), y.sum(0, dtype=np.float64), xx.astype(np.float64))
    return cls(len(x), *sums, (x.T @ y).astype(np.float64), (y**2).sum(0, dtype=np.float64))

  def __add__(self, other: _Sums) -> _Sums:
    return _Sums(*(a + b for a, b in zip(_values(self), _values(other), strict=True)))

  def __sub__(self, other: _Sums) -> _Sums:
    return _Sums(*(a - b for a, b in zip(_values(self), _values(other), strict=True)))

  def about(self, x_mean: np.ndarray, y_mean: np.ndarray) -> tuple[np.ndarray, ...]:
    """Products (xx, xy, yy) of differences from the given means."""
    n, x, y = self.count, self.x, self.y
    xx = self.xx - np.outer(x_mean, x) - np.outer(x, x_mean) + n * np.outer(x_mean, x_mean)
    xy = self.xy - np.outer(x_mean, y) - np.outer(x, y_mean) + n * np.outer(x_mean, y_mean)
    return xx, xy, self.yy - 2 * y_mean * y + n * y_mean**2


def _values(sums: _Sums) -> tuple:
  return tuple(getattr(sums, field.name) for field in dataclasses.fields(sums))


def _solve(sums: _Sums, penalty: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """(weights, mean of x, mean of y) of the ridge fit."""
  x_mean, y_mean = sums.x / sums.count, sums.y / sums.count
  xx, xy, _ = sums.about(x_mean, y_mean)
  return np.linalg.solve(xx + penalty * np.eye(len(xx)), xy), x_mean, y_mean


def _best_penalty(parts: list[_Sums], total: _Sums) -> float:
  """The penalty whose squared error on left-out parts is least, in units of each gene's spread."""
  errors, spread = np.zeros((len(PENALTIES), len(total.y))), np.zeros(len(total.y))
  for part in parts:
    rest = total - part
    x_mean, y_mean = rest.x / rest.count, rest.y / rest.count
    xx, xy, _ = rest.about(x_mean, y_mean)
    values, axes = np.linalg.eigh(xx)
    left_xx, left_xy, left_yy = part.about(x_mean, y_mean)
    # In the axes of xx a penalty only divides.
    xy, left_xx, left_xy = axes.T @ xy, axes.T @ left_xx @ axes, axes.T @ left_xy
    spread += left_yy
    for row, penalty in enumerate(PENALTIES):
      weights = xy / (np.maximum(values, 0.0) + penalty)[:, None]
      errors[row] += left_yy + (weights * (left_xx @ weights - 2 * left_xy)).sum(0)
  varies = spread > 0
  if not varies.any():
    return PENALTIES[-1]
  return PENALTIES[int((errors[:, varies] / spread[varies]).mean(1).argmin())]
