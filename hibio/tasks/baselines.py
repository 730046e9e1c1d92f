"""The simple methods a model has to beat, as features that the tasks probe like any other."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler

from hibio.tasks.cohort import Cohort
from hibio.tasks.expression import ALPHAS


def colour_statistics(
  patches: UInt8[np.ndarray, "spot height width 3"],
) -> Float[np.ndarray, "spot 18"]:
  """Mean, sd and the 10th, 50th and 90th percentile of optical density by colour, and mean RGB."""
  pixels = patches.reshape(len(patches), -1, 3).astype(np.float32)
  density = -np.log10((pixels + 1.0) / 256.0)
  percentiles = np.percentile(density, (10, 50, 90), axis=1)
  return np.concatenate(
    [density.mean(1), density.std(1), *percentiles, pixels.mean(1) / 255.0], axis=1
  ).astype(np.float32)


def expression_pca(
  fit: Cohort, cohort: Cohort, components: int = 30
) -> Float[np.ndarray, "spot component"]:
  """Principal components of log1p(CP10k), centred in each section; axes from `fit`'s donors.

  Centring in the section is what a careful analyst does against batch effects; it makes this
  baseline stronger.
  """
  components = min(components, *fit.counts.shape)
  pca = PCA(components, random_state=0).fit(_centred(fit))
  return pca.transform(_centred(cohort)).astype(np.float32)


def ridge_between(
  fit: Cohort, cohort: Cohort, source: str, target: str
) -> Float[np.ndarray, "spot width"]:
  """`target` features predicted from `source` features: the simple way into a shared space."""
  scaler = StandardScaler().fit(fit.features[source])
  ridge = RidgeCV(ALPHAS).fit(scaler.transform(fit.features[source]), fit.features[target])
  return ridge.predict(scaler.transform(cohort.features[source])).astype(np.float32)


def _centred(cohort: Cohort) -> Float[np.ndarray, "spot gene"]:
  values = cohort.log_expression()
  for _, rows in cohort.sections():
    values[rows] -= values[rows].mean(0)
  return values
