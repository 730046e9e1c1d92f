"""Is the model above the best simple baseline, or does the difference lie within the spread?

The rule, which every report states: two figures tie where they differ by no more than a margin.
The margin is the larger of

- 5 % of how far the better of the two is from chance, and
- the standard deviation of the difference over the parts that both figures are made of (folds,
  donors, sections, seeds, classes), or, with fewer than two shared parts, the larger of their two
  spreads.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from hibio.evaluation.rows import Row
from hibio.report.methods import lower_is_better

LEAST_SHARE = 0.05

RULE = (
  "Two figures tie where they differ by no more than a margin: the larger of "
  f"{LEAST_SHARE:.0%} of the better one's distance from chance, and the standard deviation of "
  "their difference over the parts both are made of (folds, donors, sections, seeds or classes; "
  "with fewer than two shared parts, the larger of their two spreads)."
)


@dataclasses.dataclass(frozen=True)
class Verdict:
  """How one figure stands to another.

  Attributes:
    word: "above", "ties" or "below"; "unknown" where one of them has no value. Above is better,
      also for a metric of which less is better.
    difference: how much better the first is; negative for worse.
    margin: the difference that still is a tie.
  """

  word: str
  difference: float
  margin: float


def compare(one: Row | None, other: Row | None) -> Verdict:
  """How `one` stands to `other`; both are of the same task, protocol and metric."""
  if not (has_value(one) and has_value(other)):
    return Verdict("unknown", math.nan, math.nan)
  sign = -1.0 if lower_is_better(one.metric) else 1.0
  difference = sign * (one.value - other.value)
  margin = max(_spread_of_difference(one, other), LEAST_SHARE * _distance_from_chance(one, other))
  return Verdict(_word(difference, margin), difference, margin)


def against_chance(row: Row | None) -> Verdict:
  """How a figure stands to guessing; the margin is its own spread."""
  if not has_value(row) or row.chance is None or not math.isfinite(row.chance):
    return Verdict("unknown", math.nan, math.nan)
  sign = -1.0 if lower_is_better(row.metric) else 1.0
  difference = sign * (row.value - row.chance)
  margin = row.spread or 0.0
  return Verdict(_word(difference, margin), difference, margin)


def has_value(row: Row | None) -> bool:
  """Whether there is a number to show."""
  return row is not None and row.value is not None and math.isfinite(row.value)


def _word(difference: float, margin: float) -> str:
  if abs(difference) <= margin:
    return "ties"
  return "above" if difference > 0 else "below"


def _spread_of_difference(one: Row, other: Row) -> float:
  shared = [name for name in one.parts if name in other.parts]
  differences = np.array([_number(one.parts[n]) - _number(other.parts[n]) for n in shared], float)
  differences = differences[np.isfinite(differences)]
  if len(differences) >= 2:
    return float(differences.std())
  return max(one.spread or 0.0, other.spread or 0.0)


def _number(part: float | None) -> float:
  return math.nan if part is None else part


def _distance_from_chance(one: Row, other: Row) -> float:
  values = [one.value, other.value]
  better = min(values) if lower_is_better(one.metric) else max(values)
  chance = 0.0 if one.chance is None else one.chance
  return abs(better - chance)
