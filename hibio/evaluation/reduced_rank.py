"""Reduced-rank ridge regression in closed form, and what is chosen for it inside the fitting spots.

Few patterns of features explain most of what an image says of expression: they are found for all
genes together. Features are expected in units of their section, targets about its mean: there is no
intercept.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import scipy.linalg
from jaxtyping import Float
from sklearn.utils.extmath import randomized_svd

from hibio.readout import Regression

SHARES = tuple(10.0**power for power in (-4, -3.5, -3, -2.5, -2, -1.5, -1, -0.5))
"""Penalties, as shares of the sum of squares of all features."""

RANKS = (1, 2, 3, 5, 8, 12, 20, 30)
COMPONENTS = 64
"""Components of the targets that means of nearest spots are kept in."""

_FLAT = 1e-5
"""Length of a column about its mean up to which it counts as constant."""

GALLERY = 5000
"""Most fitting spots, evenly taken, that nearest ones are looked for among."""


@dataclasses.dataclass(frozen=True)
class Axes:
  """Singular value decomposition of features: made once, for all penalties and targets.

  Attributes:
    rows: left singular vectors.
    values: singular values.
    axes: right singular vectors.
  """

  rows: Float[np.ndarray, "spot axis"]
  values: Float[np.ndarray, " axis"]
  axes: Float[np.ndarray, "width axis"]

  @classmethod
  def of(cls, x: Float[np.ndarray, "spot width"]) -> Axes:
    """By the smaller of the two Gram matrices; directions of rounding alone are left out."""
    x = x.astype(np.float32)
    wide = x.shape[1] > x.shape[0]
    squares, vectors = scipy.linalg.eigh((x @ x.T if wide else x.T @ x).astype(np.float64))
    kept = squares > 1e-6 * max(squares.max(initial=0.0), 1e-12)
    values = np.sqrt(squares[kept]).astype(np.float32)
    own = vectors[:, kept].astype(np.float32)
    others = (x.T if wide else x) @ own / values
    return cls(own, values, others) if wide else cls(others, values, own)

  def penalty(self, share: float) -> float:
    """A share of the sum of squares of the features."""
    return share * float((self.values.astype(np.float64) ** 2).sum())


def reduced(
  axes: Axes, inside: Float[np.ndarray, "axis gene"], penalty: float, rank: int
) -> tuple[Float[np.ndarray, "width rank"], Float[np.ndarray, "rank gene"]]:
  """(weights, loadings) of the ridge fit of at most this rank; of a lower rank the first columns.

  The ridge solution, projected on the leading right singular vectors of its fitted values.

  Args:
    inside: `axes.rows.T @ y`, for the targets y.

  References:
    Mukherjee & Zhu 2011, doi:10.1002/sam.10138: the fitted values are those of the problem with
    the penalty's rows added.
  """
  squares = axes.values**2 + penalty
  loadings = leading((axes.values / np.sqrt(squares))[:, None] * inside, rank)
  weights = axes.axes @ ((axes.values / squares)[:, None] * (inside @ loadings.T))
  return weights.astype(np.float32), loadings.astype(np.float32)


def leading(matrix: Float[np.ndarray, "axis gene"], rank: int) -> Float[np.ndarray, "rank gene"]:
  """Right singular vectors of the largest singular values."""
  rank = min(rank, *matrix.shape)
  if min(matrix.shape) <= 2 * rank + 20:
    return np.linalg.svd(matrix, full_matrices=False)[2][:rank]
  return randomized_svd(matrix, rank, n_iter=4, random_state=0)[2]


@dataclasses.dataclass(frozen=True)
class Choice:
  """What left-out spots speak for.

  Attributes:
    share: the penalty, as a share of the sum of squares of all features.
    rank: number of patterns.
    with_nearest: take the mean with the nearest fitting spots.
  """

  share: float = 1e-2
  rank: int = 5
  with_nearest: bool = False

  def __str__(self) -> str:
    retrieval = " and the nearest spots" if self.with_nearest else ""
    return f"rank {self.rank}, penalty {self.share:.2g} of the sum of squares{retrieval}"


@dataclasses.dataclass(frozen=True)
class Search:
  """Inner folds of the fitting spots, prepared once for all targets.

  Attributes:
    x: features of the fitting spots, in units of their section.
    sections: of each spot.
    splits: (rows left out, the other rows, axes of these) of each fold.
  """

  x: Float[np.ndarray, "spot width"]
  sections: np.ndarray
  splits: Sequence[tuple[np.ndarray, np.ndarray, Axes]]

  @classmethod
  def of(
    cls,
    x: Float[np.ndarray, "spot width"],
    sections: np.ndarray,
    folds: Sequence[np.ndarray],
  ) -> Search:
    """Of the rows that each fold leaves out; folds with a single spot on a side do not count."""
    splits = [(left, np.setdiff1d(np.arange(len(x)), left)) for left in folds]
    splits = [(left, rest) for left, rest in splits if min(len(left), len(rest)) > 1]
    return cls(x, sections, [(left, rest, Axes.of(x[rest])) for left, rest in splits])

  def choose(self, y: Float[np.ndarray, "spot gene"], may_retrieve: bool = True) -> Choice:
    """Penalty and rank of the highest correlation in left-out sections, then whether to retrieve.

    Every gene that varies counts the same, and every fold.

    Args:
      y: expression about the mean of its section.
      may_retrieve: the mean with the nearest fitting spots may be chosen.
    """
    if not self.splits:
      return Choice()
    found = np.mean([self._of_fold(y, *split) for split in self.splits], axis=0)
    place, column = np.unravel_index(found.argmax(), found.shape)
    alone = Choice(SHARES[place], RANKS[column])
    both = dataclasses.replace(alone, with_nearest=True)
    return both if may_retrieve and self.score(y, both) > found[place, column] else alone

  def score(self, y: Float[np.ndarray, "spot gene"], choice: Choice) -> float:
    """Mean correlation of a choice in the sections that are left out."""
    return float(np.mean([_mean(found) for found in self.correlations(y, choice)]))

  def correlations(
    self, y: Float[np.ndarray, "spot gene"], choice: Choice
  ) -> Iterator[Float[np.ndarray, "section gene"]]:
    """Those of every gene in each section that is left out, fold by fold."""
    for left, rest, axes in self.splits:
      fitted = regression(self.x[rest], y[rest], choice, axes=axes)
      yield Truth.of(y[left], self.sections[left]).correlation(fitted(self.x[left]))

  def _of_fold(
    self, y: np.ndarray, left: np.ndarray, rest: np.ndarray, axes: Axes
  ) -> Float[np.ndarray, "share rank"]:
    """Mean correlation of every penalty and rank, without retrieval."""
    truth, inside = Truth.of(y[left], self.sections[left]), axes.rows.T @ y[rest]
    found = []
    for share in SHARES:
      weights, loadings = reduced(axes, inside, axes.penalty(share), RANKS[-1])
      by_rank = truth.correlation_by_rank(self.x[left] @ weights, loadings, RANKS)
      found.append([_mean(correlation) for correlation in by_rank])
    return np.array(found)


def regression(
  x: Float[np.ndarray, "spot width"],
  y: Float[np.ndarray, "spot gene"],
  choice: Choice,
  components: Float[np.ndarray, "component gene"] | None = None,
  axes: Axes | None = None,
) -> Regression:
  """The fit on all of these spots, as chosen.

  Args:
    components: that the nearest spots' expression is kept in; by default the leading ones of `y`.
    axes: of `x`, where they are known.
  """
  axes = Axes.of(x) if axes is None else axes
  weights, loadings = reduced(axes, axes.rows.T @ y, axes.penalty(choice.share), choice.rank)
  if not choice.with_nearest:
    nothing = weights[:0], np.zeros((0, 0), np.float32), loadings[:0]
    return Regression(weights, loadings, *nothing)
  components = leading(y, COMPONENTS) if components is None else components
  kept = np.unique(np.linspace(0, len(x) - 1, min(len(x), GALLERY)).round().astype(int))
  gallery, values = x[kept] @ weights, y[kept] @ components.T
  return Regression(
    weights, loadings, *(a.astype(np.float32) for a in (gallery, values, components))
  )


@dataclasses.dataclass(frozen=True)
class Truth:
  """Measured expression as unit vectors of each section, to be correlated with many predictions.

  Attributes:
    rows: of each section.
    units: of each section, zero for genes that do not vary there.
  """

  rows: tuple[np.ndarray, ...]
  units: tuple[np.ndarray, ...]

  @classmethod
  def of(cls, y: Float[np.ndarray, "spot gene"], sections: np.ndarray) -> Truth:
    rows = tuple(np.flatnonzero(sections == name) for name in dict.fromkeys(sections.tolist()))
    return cls(rows, tuple(_unit_columns(y[own]) for own in rows))

  def correlation(
    self, predicted: Float[np.ndarray, "spot gene"]
  ) -> Float[np.ndarray, "section gene"]:
    """Pearson correlation of each gene in each section; not-a-number where it does not vary."""
    found = [
      np.where(units.any(axis=0), (units * _unit_columns(predicted[own])).sum(axis=0), np.nan)
      for own, units in zip(self.rows, self.units, strict=True)
    ]
    return np.stack(found)

  def correlation_by_rank(
    self,
    scores: Float[np.ndarray, "spot most"],
    loadings: Float[np.ndarray, "most gene"],
    ranks: Sequence[int],
  ) -> Float[np.ndarray, "rank section gene"]:
    """`correlation(scores[:, :rank] @ loadings[:rank])` for each rank, without the predictions.

    What they have in common with the truth, and their length, are sums over pairs of the columns.
    """
    found = np.full((len(ranks), len(self.rows), loadings.shape[1]), np.nan)
    for section, (own, units) in enumerate(zip(self.rows, self.units, strict=True)):
      centred = scores[own] - scores[own].mean(axis=0)
      common = np.cumsum((centred.T @ units) * loadings, axis=0, dtype=np.float64)
      products = (centred.T @ centred).astype(np.float64)
      varies = units.any(axis=0)
      for place, rank in enumerate(min(rank, len(loadings)) for rank in ranks):
        first = loadings[:rank]
        norm = np.sqrt(np.maximum(((products[:rank, :rank] @ first) * first).sum(axis=0), 0.0))
        shared = common[rank - 1] if rank else 0.0
        found[place, section, varies] = (shared * (norm > _FLAT) / np.maximum(norm, _FLAT))[varies]
    return found


def _unit_columns(values: Float[np.ndarray, "spot gene"]) -> Float[np.ndarray, "spot gene"]:
  centred = values - values.mean(axis=0)
  norm = np.sqrt((centred**2).sum(axis=0))
  return np.where(norm > _FLAT, centred / np.maximum(norm, _FLAT), 0.0).astype(np.float32)


def _mean(correlation: Float[np.ndarray, "section gene"]) -> float:
  defined = np.isfinite(correlation)
  return float(correlation[defined].mean()) if defined.any() else 0.0
