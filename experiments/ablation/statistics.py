"""How sure is a figure, or a difference between two presets on the same units and seeds?"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float
from scipy import stats

DRAWS = 10_000
LEVEL = 0.95
FEWEST = 3
"""Units below which no interval is given: of two, Student's t says nothing that is of use."""


@dataclasses.dataclass(frozen=True)
class Mean:
  """A mean over units and where that of other such units lies.

  Attributes:
    low, high: ends of Student's t interval; None with fewer than `FEWEST` units.
  """

  mean: float
  low: float | None
  high: float | None
  num_units: int


def mean_interval(values: Float[np.ndarray, " unit"]) -> Mean:
  """Student's t interval of the mean of units that are drawn independently."""
  number, mean = len(values), float(np.mean(values))
  if number < FEWEST:
    return Mean(mean, None, None, number)
  half = stats.t.ppf((1 + LEVEL) / 2, number - 1) * np.std(values, ddof=1) / np.sqrt(number)
  return Mean(mean, float(mean - half), float(mean + half), number)


@dataclasses.dataclass(frozen=True)
class Interval:
  """A mean difference and where it lies.

  Attributes:
    low, high: ends of the bootstrap interval; the difference itself where there is one unit and
      one seed, of which nothing can be told.
  """

  mean: float
  low: float
  high: float
  num_units: int
  num_seeds: int

  @property
  def excludes_zero(self) -> bool:
    """Whether the interval lies on one side of 0; never where there is nothing to resample."""
    return self.num_units * self.num_seeds > 1 and (self.low > 0 or self.high < 0)


def paired_interval(
  differences: Float[np.ndarray, "unit seed"], draws: int = DRAWS, seed: int = 0
) -> Interval:
  """Percentile bootstrap of the mean: units and seeds are both drawn with replacement.

  A seed is the same model in all units, and a unit the same tissue for all seeds, so each is drawn
  as a whole and the draw is their product. Seeds redrawn within each unit would average their
  effect away. Of n things drawn with replacement the mean varies less than of n new ones, by
  sqrt((n - 1) / n); the interval is widened by as much, for the smaller of both numbers.

  References:
    Owen 2007, doi 10.1214/07-AOAS122 (the pigeonhole bootstrap).
  """
  units, seeds = differences.shape
  rng = np.random.default_rng(seed)
  rows = rng.multinomial(units, np.full(units, 1 / units), draws) / units
  columns = rng.multinomial(seeds, np.full(seeds, 1 / seeds), draws) / seeds
  mean = differences.mean()
  fewest = min((n for n in (units, seeds) if n > 1), default=2)
  spread = ((rows @ differences) * columns).sum(1) - mean
  spread *= np.sqrt(fewest / (fewest - 1))
  tail = 100 * (1 - LEVEL) / 2
  low, high = mean + np.percentile(spread, (tail, 100 - tail))
  return Interval(float(mean), float(low), float(high), units, seeds)
