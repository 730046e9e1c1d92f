"""The HEST-Bench probe as its code has it, so that numbers can stand beside published ones.

Read from mahmoodlab/HEST at afd42c3: `src/hest/bench/benchmark.py` and `trainer.py`. There the
target is log1p of raw counts, the penalty follows from the shapes (the `--alpha` option is not
used), there is no intercept, and a gene's correlation is over all test spots of a fold: that is
the row `pearson_pooled`. Two things differ: the 50 genes are the most variable ones of the fitting
spots (HEST ships its lists), and a constant gene is left out and counted (there it makes the mean
undefined).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hibio.tasks.probe import Predict

COMPONENTS = 256
SEED = 1
"""HEST's default."""


def hest_readme(
  fit: Float[np.ndarray, "spot width"], spots: pd.DataFrame, test: Float[np.ndarray, "query width"]
) -> Predict:
  """HEST's README: standardise, PCA to 256, ridge. Arguments: see `hibio.tasks.probe`.

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
