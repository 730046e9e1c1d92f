"""How expression is read from a frozen embedding: the probes by name, and what each is asked."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import scipy.sparse
from jaxtyping import Float
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler, normalize

from hibio.tasks.hest import hest_no_pca, hest_readme
from hibio.tasks.probe import Predict, Probe
from hibio.tasks.ridge import ridge_cv
from hibio.tasks.targets import TARGETS

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


@dataclasses.dataclass(frozen=True)
class Protocol:
  """A probe and what it is asked.

  Attributes:
    probe: fits and predicts.
    targets: names in `TARGETS`.
    gene_lists: names in `GENE_LISTS`.
    across: it fits on the gene embeddings of a method and predicts from its image embeddings.
  """

  probe: Probe
  targets: tuple[str, ...] = tuple(TARGETS)
  gene_lists: tuple[str, ...] = ("hvg50", "heg50", "all")
  across: bool = False


PROTOCOLS: dict[str, Protocol] = {
  "hest_readme": Protocol(hest_readme, ("log1p_raw",), ("hvg50",)),
  "hest_no_pca": Protocol(hest_no_pca, ("log1p_raw",), ("hvg50",)),
  "ridge_cv": Protocol(ridge_cv),
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
