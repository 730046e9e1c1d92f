"""The spots nearest to each spot of one section: for smoothing, coherence and baselines."""

from __future__ import annotations

import functools

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from sklearn.decomposition import PCA

from data_pipelines.section import spacing
from hibio.evaluation.baselines.base import Features, Given
from hibio.evaluation.cohort import Cohort
from hibio.evaluation.gene_lists import variance_within_sections


def nearest_spots(
  positions_um: Float[np.ndarray, "spot 2"], num_neighbours: int
) -> Int[np.ndarray, "spot neighbour"]:
  """The `num_neighbours` nearest other spots of each spot, nearest first.

  A section with fewer other spots gives all of them. Spots at equal distance are taken in an order
  that is the same in every run.
  """
  return nearest(positions_um, num_neighbours)[0]


def nearest(
  positions: Float[np.ndarray, "spot 2"], num_neighbours: int
) -> tuple[Int[np.ndarray, "spot neighbour"], Float[np.ndarray, "spot neighbour"]]:
  """`nearest_spots`, and how far off they are; the last sections that were asked are remembered."""
  search = _remembered if len(positions) <= _MOST_REMEMBERED else _searched
  return search(np.ascontiguousarray(positions, np.float64).tobytes(), num_neighbours)


_MOST_REMEMBERED = 10_000
"""Spots of a section; a task asks for the same neighbours thousands of times."""


def _searched(positions: bytes, num_neighbours: int) -> tuple[np.ndarray, np.ndarray]:
  points = np.frombuffer(positions).reshape(-1, 2)
  wanted = min(num_neighbours, len(points) - 1)
  if wanted < 1:
    return np.zeros((len(points), 0), np.int64), np.zeros((len(points), 0))
  distances, found = cKDTree(points).query(points, k=wanted + 1)
  # A spot is not always the first found: two spots can lie at one place. Where others crowd it out
  # of the list, the last of them goes instead of it.
  own = found == np.arange(len(found))[:, None]
  own[~own.any(axis=1), -1] = True
  return found[~own].reshape(len(found), wanted), distances[~own].reshape(len(found), wanted)


_remembered = functools.lru_cache(maxsize=128)(_searched)


def spacing_um(positions_um: Float[np.ndarray, "spot 2"]) -> float:
  """Median distance of a spot to its nearest other place; not-a-number where there is none."""
  found_um = spacing(np.unique(positions_um, axis=0))
  return float("nan") if found_um is None else found_um


LAMBDA_DOMAINS = 0.8
"""BANKSY's weight of the neighbourhood for domains where a spot is one cell."""

LAMBDA_VISIUM = 0.2
"""The weight its authors give for Visium, whose spots are averages already."""

NEIGHBOURS_MEAN = 15
NEIGHBOURS_GRADIENT = 30
"""BANKSY's `k_geom` for the mean and for the gradient."""


def coordinates(cohort: Cohort) -> Float[np.ndarray, "spot 2"]:
  """Where each spot lies in its section, in micrometres: the control that sees no tissue."""
  positions = cohort.spots[["x_um", "y_um"]].to_numpy(np.float64)
  centred = np.zeros_like(positions)
  for _, rows in cohort.sections():
    centred[rows] = positions[rows] - positions[rows].mean(axis=0)
  return centred.astype(np.float32)


def neighbour_mean(
  cohort: Cohort, features: Float[np.ndarray, "spot width"], num_neighbours: int = 6
) -> Float[np.ndarray, "spot width"]:
  """Mean of the features of each spot and its nearest spots in the same section."""
  positions = cohort.spots[["x_um", "y_um"]].to_numpy(np.float64)
  means = np.zeros(features.shape, np.float32)
  for _, rows in cohort.sections():
    near = nearest_spots(positions[rows], num_neighbours)
    around = np.concatenate([np.arange(len(rows))[:, None], near], axis=1)
    means[rows] = features[rows][around].mean(axis=1)
  return means


def neighbourhood(
  cohort: Cohort, genes: Int[np.ndarray, " gene"]
) -> Float[np.ndarray, "block spot gene"]:
  """Expression, its mean over the neighbours and its gradient, each standardised in its section.

  Args:
    genes: panel rows that take part; the method wants the variable ones, about 2,000.
  """
  positions = cohort.spots[["x_um", "y_um"]].to_numpy(np.float64)
  expression = cohort.log_expression(genes)
  blocks = np.zeros((3, *expression.shape), np.float32)
  for _, rows in cohort.sections():
    own = expression[rows]
    blocks[0, rows] = _standardised(own)
    if len(rows) > 1:
      near, weights = _kernel(positions[rows], NEIGHBOURS_MEAN)
      mean = np.stack([weights[spot] @ own[near[spot]] for spot in range(len(own))])
      blocks[1, rows] = _standardised(mean)
      blocks[2, rows] = _standardised(gradient(own, positions[rows]))
  return blocks


def banksy(
  fit: Float[np.ndarray, "block fitted gene"],
  blocks: Float[np.ndarray, "block spot gene"],
  weight: float,
  components: int = 20,
) -> Float[np.ndarray, "spot component"]:
  """Principal components of own expression beside the neighbours' mean and gradient.

  Written from the paper and checked against nothing of theirs: call it BANKSY-style. Blocks, as
  `neighbourhood` makes them, weigh sqrt(1 - weight), sqrt(weight * 2/3) and sqrt(weight / 3).

  Args:
    fit: blocks of the spots that the axes come from.
    weight: lambda; 0 gives principal components of standardised expression.

  References:
    Singhal et al. 2024, doi 10.1038/s41588-024-01664-3.
  """
  shares = np.sqrt([1 - weight, weight * 2 / 3, weight / 3]).astype(np.float32)

  def weighed(values: np.ndarray) -> np.ndarray:
    return np.concatenate([s * one for s, one in zip(shares, values, strict=True) if s > 0], axis=1)

  values = weighed(fit)
  pca = PCA(min(components, *values.shape), random_state=0).fit(values)
  return pca.transform(values if fit is blocks else weighed(blocks)).astype(np.float32)


REACH = 18
"""Nearest spots that the colour baseline averages over: as many as the model sees by default on
Visium (within 250 um, spots 100 um apart)."""

BANKSY_GENES = 1000


def pca_around(given: Given) -> Features:
  """Components of expression, averaged over a spot and its six neighbours."""
  return neighbour_mean(given.cohort, given.cohort.features["pca/gene"])


def banksy_visium(given: Given) -> Features:
  """The weight that its authors give for Visium."""
  return _banksy(given, LAMBDA_VISIUM)


def banksy_domains(given: Given) -> Features:
  """The weight that its authors give for domains."""
  return _banksy(given, LAMBDA_DOMAINS)


def colour_around(given: Given) -> Features | None:
  """Means over neighbours that have a patch; other spots stay zero."""
  if "colour/image" not in given.cohort.features:
    return None
  seen = given.cohort.seen_by("colour/image")
  means = np.zeros_like(given.cohort.features["colour/image"])
  rows = np.flatnonzero(given.cohort.spots["has_patch"])
  means[rows] = neighbour_mean(seen, seen.features["colour/image"], REACH)
  return means


def places(given: Given) -> Features:
  """Coordinates alone."""
  return coordinates(given.cohort)


def _banksy(given: Given, weight: float) -> Features:
  blocks = given.once(("neighbourhood",), lambda: neighbourhood(given.cohort, _variable(given.fit)))
  fitted = given.cohort.spots["spot_index"].isin(given.fit.spots["spot_index"]).to_numpy()
  return banksy(blocks if fitted.all() else blocks[:, fitted], blocks, weight)


def _variable(fit: Cohort) -> Int[np.ndarray, " gene"]:
  rank = variance_within_sections(fit)
  return np.sort(np.argsort(-rank, kind="stable")[:BANKSY_GENES])


def gradient(
  values: Float[np.ndarray, "spot gene"], positions_um: Float[np.ndarray, "spot 2"]
) -> Float[np.ndarray, "spot gene"]:
  """Magnitude of the azimuthal Gabor filter: how one-sided a gene is around each spot.

  |sum_j w_j exp(i phi_j) (x_j - mean of x over the neighbours)| over the 30 nearest spots, phi the
  direction of spot j.
  """
  near, weights = _kernel(positions_um, NEIGHBOURS_GRADIENT)
  offsets = positions_um[near] - positions_um[:, None]
  phase = np.exp(1j * np.arctan2(offsets[..., 1], offsets[..., 0]))
  out = np.zeros(values.shape, np.float32)
  for spot in range(len(values)):
    around = values[near[spot]]
    centred = around - around.mean(axis=0)
    out[spot] = np.abs((weights[spot] * phase[spot]) @ centred)
  return out


def _kernel(positions_um: np.ndarray, num_neighbours: int):
  """(nearest spots, weights that sum to 1): exp(-d^2 / m^2), m the median distance of a spot's."""
  near = nearest_spots(positions_um, num_neighbours)
  squared = ((positions_um[near] - positions_um[:, None]) ** 2).sum(axis=-1)
  scale = np.maximum(np.median(np.sqrt(squared), axis=1, keepdims=True), 1e-6)
  weights = np.exp(-squared / scale**2)
  return near, (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _standardised(values: np.ndarray) -> np.ndarray:
  """Zero mean and unit sd of each column; a constant column becomes 0."""
  centred = values - values.mean(axis=0)
  sd = centred.std(axis=0)
  return np.where(sd > 1e-6, centred / np.maximum(sd, 1e-6), 0.0).astype(np.float32)
