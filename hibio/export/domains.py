"""Domains that sections have in common: kinds of tissue, of one name wherever they occur.

Spots are clustered over all sections at once, on embeddings averaged over the spots that they
touch. How many kinds there are is read off stability: each of two halves of the tissue is clustered
on its own and tells all spots their domains; of the right number, both tell the same.

References:
  Lange et al. 2004, doi:10.1162/089976604773717621 (stability; here agreement is the adjusted Rand
  index, which is 0 by chance for any number of domains).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse
from jaxtyping import Float, Int
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score

from data_pipelines.preparation.spot_graph import spot_graph
from data_pipelines.problems import BadInputError

MOST = 10
_SPOTS_EACH = 20
"""Fewer spots to a domain are not tried."""

_SPLITS = 4
_MOST_FITTED = 5000
"""Spots that domains are fitted to, evenly over the sections; the others are told theirs."""

_COMPONENTS = 20


NOTHING_TRIED = pd.DataFrame(
  {"stability": np.zeros(0), "spread": np.zeros(0), "chosen": np.zeros(0, bool)},
  index=pd.Index(np.zeros(0, np.int64), name="domains"),
)


class Shared(NamedTuple):
  """Domains of all sections together.

  Attributes:
    domains: number of each spot's domain, the largest first.
    stability: a line for each number of domains that was tried: `stability`, its mean over splits,
      `spread` over them, and `chosen`.
  """

  domains: Int[np.ndarray, " spot"]
  stability: pd.DataFrame


def around(
  vectors: Float[np.ndarray, "spot width"], positions_um: Float[np.ndarray, "spot 2"]
) -> Float[np.ndarray, "spot width"]:
  """Each spot's mean with the spots that it touches: one spot's counts are few."""
  graph = scipy.sparse.csr_matrix(spot_graph(positions_um)[0], dtype=np.float32)
  number = 1.0 + np.asarray(graph.sum(axis=1))
  return ((vectors + graph @ vectors) / number).astype(np.float32)


def shared(
  sections: Sequence[Float[np.ndarray, "_ width"]],
  pieces: Int[np.ndarray, " spot"],
  number: int | None = None,
) -> Shared:
  """Domains of the spots of all sections, one section after the other.

  Args:
    sections: what each section's domains are read from.
    pieces: a contiguous piece of tissue for each spot, which is not cut by a split: neighbours are
      alike, and would be found again whatever the domains are.
    number: of domains; None for the most stable number.

  Raises:
    BadInputError: more domains than spots.
  """
  values = np.concatenate(sections)
  if number is not None and not 1 <= number <= len(values):
    raise BadInputError(
      "--num_domains", "value", str(number), f"1 to {len(values):,}, the spots", "choose another"
    )
  fitted = np.arange(len(values))[:: -(-len(values) // _MOST_FITTED)]
  values = _components(values, fitted)
  stability = stabilities(values[fitted], pieces[fitted])
  if number is None:
    number = int(stability["stability"].idxmax()) if len(stability) else 1
  stability["chosen"] = stability.index == number
  found = _clusters(values[fitted], number, 0).predict(values)
  order = np.argsort(-np.bincount(found, minlength=number), kind="stable")
  return Shared(np.argsort(order)[found], stability)


def stabilities(
  values: Float[np.ndarray, "spot width"], pieces: Int[np.ndarray, " spot"]
) -> pd.DataFrame:
  """How stable 2, 3, ... domains are: mean and spread over splits of the pieces."""
  halves = list(_halves(pieces))
  most = min(MOST, min((len(half) for pair in halves for half in pair), default=0) // _SPOTS_EACH)
  table = NOTHING_TRIED.drop(columns="chosen")
  for number in range(2, most + 1):
    found = [_agreement(values, *pair, number) for pair in halves]
    table.loc[number] = float(np.mean(found)), float(np.std(found))
  return table


def _halves(pieces: np.ndarray):
  names, of_spot = np.unique(pieces, return_inverse=True)
  for seed in range(_SPLITS):
    first = np.random.default_rng(seed).permutation(len(names)) % 2 == 0
    yield np.flatnonzero(first[of_spot]), np.flatnonzero(~first[of_spot])


def _agreement(values: np.ndarray, one: np.ndarray, other: np.ndarray, number: int) -> float:
  told = [_clusters(values[half], number, 0).predict(values) for half in (one, other)]
  return float(adjusted_rand_score(*told))


def _clusters(values: np.ndarray, number: int, seed: int) -> KMeans:
  with warnings.catch_warnings():
    # A collapsed model has fewer distinct embeddings than domains, and no domains.
    warnings.simplefilter("ignore", ConvergenceWarning)
    return KMeans(number, n_init=3, random_state=seed).fit(values)


def _components(values: np.ndarray, fitted: np.ndarray) -> np.ndarray:
  """The directions in which embeddings differ most: all that clusters need."""
  number = min(_COMPONENTS, values.shape[1], len(fitted))
  pca = PCA(number, svd_solver="randomized", random_state=0).fit(values[fitted])
  return pca.transform(values).astype(np.float32)
