"""The shape that all probes of expression have.

A probe is given once what it may know, and then answers for one matrix of targets after another:

  predict = probe(fit, spots, test)
  predicted, note = predict(targets)

`fit` are the features of the spots to fit on and `spots` their table: donor and section matter to a
probe that chooses something by cross-validation inside the fitting spots. `test` are the features
to predict from, `targets` the expression of the fitting spots (a row a spot, a column a gene), and
`note` is what a reader of the figure should know.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import scipy.sparse
from jaxtyping import Float
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, normalize

from hibio.evaluation import reduced_rank
from hibio.evaluation.folds import inner_folds
from hibio.evaluation.gene_lists import TARGETS

Predict = Callable[[np.ndarray], tuple[np.ndarray, str]]
Probe = Callable[[np.ndarray, pd.DataFrame, np.ndarray], Predict]


PENALTIES = tuple(10.0**power for power in range(-1, 7))


def ridge_cv(
  fit: Float[np.ndarray, "spot width"], spots: pd.DataFrame, test: Float[np.ndarray, "query width"]
) -> Predict:
  """Ridge with intercept on standardised features. Arguments: see `Probe`.

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


COMPONENTS = 256
SEED = 1
"""HEST's default."""


def hest_readme(
  fit: Float[np.ndarray, "spot width"], spots: pd.DataFrame, test: Float[np.ndarray, "query width"]
) -> Predict:
  """HEST's README: standardise, PCA to 256, ridge. Arguments: see `Probe`.

  A narrower embedding keeps all its components, and the penalty follows their number. The scores
  are centred and nothing else can stand for the mean, so that predictions are about 0: correlations
  do not mind, errors come out large.
  """
  components = min(COMPONENTS, *fit.shape)
  pipeline = make_pipeline(StandardScaler(), PCA(components, random_state=SEED))
  scores, query = pipeline.fit_transform(fit), pipeline.transform(test)
  note = "predictions without the mean"
  if components < COMPONENTS:
    note = f"PCA to {components}, not {COMPONENTS}; {note}"
  return _ridge(scores.astype(np.float32), query.astype(np.float32), note)


def hest_no_pca(
  fit: Float[np.ndarray, "spot width"], spots: pd.DataFrame, test: Float[np.ndarray, "query width"]
) -> Predict:
  """HEST without dimension reduction. Its code then does not standardise either."""
  return _ridge(fit, test, "")


def rotated(
  x: Float[np.ndarray, "spot width"], y: Float[np.ndarray, "spot gene"]
) -> tuple[Float[np.ndarray, "row width"], Float[np.ndarray, "row gene"]]:
  """A least-squares problem of about `width` rows on which LSQR takes the same steps.

  LSQR (Paige & Saunders 1982, doi:10.1145/355984.355989) only meets lengths and inner products,
  which a rotation of the rows keeps: R of x = QR stands for x, Q'y for y, and one row of zeros
  carries the length of what of y lies outside of x. Rounding differs, by less than the tolerance
  that LSQR stops at; 50 genes of 12,000 spots take a second, not a minute.
  """
  q, r = np.linalg.qr(x.astype(np.float64))
  y = y.astype(np.float64)
  inside = q.T @ y
  outside = np.linalg.norm(y - q @ inside, axis=0)
  return np.vstack([r, np.zeros((1, r.shape[1]))]), np.vstack([inside, outside])


def _ridge(
  fit: Float[np.ndarray, "spot width"], query: Float[np.ndarray, "query width"], note: str
) -> Predict:
  def predict(targets):
    alpha = 100 / (fit.shape[1] * targets.shape[1])
    ridge = Ridge(alpha, solver="lsqr", fit_intercept=False, max_iter=1000, random_state=SEED)
    ridge.fit(*rotated(fit, targets))
    return ridge.predict(query).astype(np.float32), note

  return predict


NEIGHBOURS = 50


def knn(
  fit: Float[np.ndarray, "spot width"], spots: pd.DataFrame, test: Float[np.ndarray, "query width"]
) -> Predict:
  """Mean expression of the 50 fitting spots that look most alike, on standardised features."""
  scaler = StandardScaler().fit(fit)
  return _mean_of_nearest(scaler.transform(fit), scaler.transform(test))


def retrieval(
  fit: Float[np.ndarray, "spot width"], spots: pd.DataFrame, test: Float[np.ndarray, "query width"]
) -> Predict:
  """Mean expression of the 50 fitting profiles nearest to the patch in the shared space.

  Here `fit` are gene embeddings and `test` image embeddings; nearest is by cosine.

  References:
    Xie et al. 2023, BLEEP (arXiv:2306.01859), with the plain average.
  """
  return _mean_of_nearest(normalize(fit), normalize(test))


def reduced_rank_ridge(
  fit: Float[np.ndarray, "spot width"], spots: pd.DataFrame, test: Float[np.ndarray, "query width"]
) -> Predict:
  """Reduced-rank ridge regression, its penalty and rank chosen over inner donors or sections."""
  return _reduced_rank(fit, spots, test, may_retrieve=False)


def reduced_rank_nearest(
  fit: Float[np.ndarray, "spot width"], spots: pd.DataFrame, test: Float[np.ndarray, "query width"]
) -> Predict:
  """The same, or its mean with the expression of the 40 fitting spots nearest in its scores.

  Whichever correlates better with what inner donors or sections measure.
  """
  return _reduced_rank(fit, spots, test, may_retrieve=True)


def _reduced_rank(
  fit: np.ndarray, spots: pd.DataFrame, test: np.ndarray, may_retrieve: bool
) -> Predict:
  sections = spots["section_id"].to_numpy(str)
  folds, words = inner_folds(spots)
  search = reduced_rank.Search.of(fit, sections, folds)

  def predict(targets):
    centred, mean = about_section(targets, sections), targets.mean(0)
    choice = search.choose(centred, may_retrieve)
    predicted = reduced_rank.regression(fit, centred, choice)(test) + mean
    return predicted.astype(np.float32), f"{choice}, chosen over {words}"

  return predict


def about_section(
  values: Float[np.ndarray, "spot gene"], sections: np.ndarray
) -> Float[np.ndarray, "spot gene"]:
  """Values about the mean of their section."""
  centred = np.empty(values.shape, np.float32)
  for name in dict.fromkeys(sections.tolist()):
    rows = sections == name
    centred[rows] = values[rows] - values[rows].mean(axis=0)
  return centred


@dataclasses.dataclass(frozen=True)
class Protocol:
  """A probe and what it is asked.

  Attributes:
    probe: fits and predicts.
    targets: names in `TARGETS`.
    gene_lists: names in `GENE_LISTS`.
    across: it fits on the gene embeddings of a method and predicts from its image embeddings.
    in_section: features are put into units of their section first.
  """

  probe: Probe
  targets: tuple[str, ...] = tuple(TARGETS)
  gene_lists: tuple[str, ...] = ("hvg50", "heg50", "all")
  across: bool = False
  in_section: bool = False


PROTOCOLS: dict[str, Protocol] = {
  "hest_readme": Protocol(hest_readme, ("log1p_raw",), ("hvg50",)),
  "hest_no_pca": Protocol(hest_no_pca, ("log1p_raw",), ("hvg50",)),
  "ridge_cv": Protocol(ridge_cv),
  "reduced_rank": Protocol(reduced_rank_ridge, ("log1p_cp10k",), in_section=True),
  "reduced_rank + nearest": Protocol(reduced_rank_nearest, ("log1p_cp10k",), in_section=True),
  "knn": Protocol(knn),
  "retrieval": Protocol(retrieval, across=True),
}


def _mean_of_nearest(
  fit: Float[np.ndarray, "spot width"], test: Float[np.ndarray, "query width"]
) -> Predict:
  k = min(NEIGHBOURS, len(fit))
  nearest = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(fit)
  rows = nearest.kneighbors(test, return_distance=False)
  share = np.full(rows.size, 1 / k, np.float32)
  starts = np.arange(0, rows.size + 1, k)
  average = scipy.sparse.csr_array((share, rows.ravel(), starts), shape=(len(test), len(fit)))
  return lambda targets: (average @ targets, f"mean of {k}")
