"""Ridge regression whose penalty is chosen on donors that it was not fitted on.

Everything is done on sums of products: they add up over donors, so that leaving a donor out is a
subtraction and a penalty costs no further pass over the spots.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler

from hibio.tasks.probe import Predict

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
) -> Predict:
  """Ridge with intercept on standardised features. Arguments: see `hibio.tasks.probe`.

  One penalty for all genes of a list: the one with the highest mean R2 on left-out donors, every
  gene counting the same.
  """
  scaler = StandardScaler().fit(fit)
  x, query = scaler.transform(fit), scaler.transform(test)
  folds, words = inner_folds(spots)
  inner = _prepare(x, folds) if len(folds) > 1 else []
  x_mean = x.mean(0, dtype=np.float64)
  xx = _products(x, x) - len(x) * np.outer(x_mean, x_mean)

  def predict(targets):
    penalty, xy = _choose(x, targets, inner) if inner else (PENALTIES[-1], _products(x, targets))
    y_mean = targets.mean(0, dtype=np.float64)
    xy -= len(x) * np.outer(x_mean, y_mean)
    weights = np.linalg.solve(xx + penalty * np.eye(len(xx)), xy).astype(np.float32)
    predicted = (query - x_mean.astype(np.float32)) @ weights + y_mean.astype(np.float32)
    return predicted, f"penalty {penalty:g} chosen over {words}"

  return predict


@dataclasses.dataclass(frozen=True)
class _InnerFold:
  """What one inner fold knows of the features; d is their number.

  Attributes:
    left: rows that are left out.
    left_sum: sum of their features.
    mean: mean of the features of the other rows, the rest.
    axes: eigenvectors of the rest's centred products, [d, d]. In them a penalty only divides.
    spread: eigenvalues, [d].
    left_products: products of the left rows about `mean`, in those axes, [d, d].
  """

  left: np.ndarray
  left_sum: np.ndarray
  mean: np.ndarray
  axes: np.ndarray
  spread: np.ndarray
  left_products: np.ndarray


def _prepare(x: np.ndarray, folds: Sequence[np.ndarray]) -> list[_InnerFold]:
  products = [_products(x[left], x[left]) for left in folds]
  sums = [x[left].sum(0, dtype=np.float64) for left in folds]
  total, total_sum, inner = sum(products), sum(sums), []
  for left, own, own_sum in zip(folds, products, sums, strict=True):
    rest = len(x) - len(left)
    mean = (total_sum - own_sum) / rest
    spread, axes = np.linalg.eigh(total - own - rest * np.outer(mean, mean))
    about = own - np.outer(mean, own_sum) - np.outer(own_sum, mean)
    about += len(left) * np.outer(mean, mean)
    # float32 is enough to compare penalties with.
    left_products = (axes.T @ about @ axes).astype(np.float32)
    inner.append(_InnerFold(left, own_sum, mean, axes, np.maximum(spread, 0), left_products))
  return inner


def _choose(x: np.ndarray, y: np.ndarray, inner: Sequence[_InnerFold]) -> tuple[float, np.ndarray]:
  """The penalty with the least error on left-out rows, and the products of all x and y.

  A gene's squared error counts in units of its spread about the mean of the rest.
  """
  products = [_products(x[fold.left], y[fold.left]) for fold in inner]
  sums = [y[fold.left].sum(0, dtype=np.float64) for fold in inner]
  total, total_sum = sum(products), sum(sums)
  error, spread = np.zeros((len(PENALTIES), y.shape[1])), np.zeros(y.shape[1])
  for fold, own, own_sum in zip(inner, products, sums, strict=True):
    rest = len(y) - len(fold.left)
    mean = (total_sum - own_sum) / rest
    rest_xy = total - own - rest * np.outer(fold.mean, mean)
    left_xy = own - np.outer(fold.mean, own_sum) - np.outer(fold.left_sum, mean)
    left_xy += len(fold.left) * np.outer(fold.mean, mean)
    rest_xy, left_xy = ((fold.axes.T @ xy).astype(np.float32) for xy in (rest_xy, left_xy))
    left_yy = ((y[fold.left] - mean.astype(np.float32)) ** 2).sum(0, dtype=np.float64)
    spread += left_yy
    for row, penalty in enumerate(PENALTIES):
      weights = rest_xy / (fold.spread + penalty).astype(np.float32)[:, None]
      gain = np.einsum("dg,dg->g", weights, 2 * left_xy - fold.left_products @ weights)
      error[row] += left_yy - gain
  varies = spread > 0
  relative = error[:, varies] / spread[varies]
  best = int(relative.mean(1).argmin()) if varies.any() else -1
  return PENALTIES[best], total


def _products(
  x: Float[np.ndarray, "spot width"], y: Float[np.ndarray, "spot column"]
) -> Float[np.ndarray, "width column"]:
  return (x.T @ y).astype(np.float64)
