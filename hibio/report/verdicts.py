"""How one figure stands to another, or to guessing: better, a tie or worse; see `RULE`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from hibio.evaluation.rows import Row, lower_is_better

LEAST_SHARE = 0.05

RULE = (
  "Two figures are called a tie if they differ by no more than a margin. The margin is the larger "
  f"of two numbers: {LEAST_SHARE:.0%} of the better figure's distance from chance, and the "
  "standard deviation of the difference over the folds, donors, sections, seeds or classes that "
  "both figures are averaged over. Of a single one nothing is called: how far the next would "
  "differ is not known."
)


Verdict = Literal["better", "tie", "worse", "unknown", "alone"]
"""How one figure stands to another; "unknown" where one of them has no value, "alone" where both
are of a single section, donor or seed."""


def compare(one: Row | None, other: Row | None) -> Verdict:
  """How `one` stands to `other`; both are of the same task, protocol and metric."""
  if not (has_value(one) and has_value(other)):
    return "unknown"
  if len(one.parts) == len(other.parts) == 1:
    return "alone"
  sign = -1.0 if lower_is_better(one.metric) else 1.0
  difference = sign * (one.value - other.value)
  margin = max(_spread_of_difference(one, other), LEAST_SHARE * _distance_from_chance(one, other))
  return _word(difference, margin)


def against_chance(row: Row | None) -> Verdict:
  """How a figure stands to guessing; the margin is its own spread."""
  if not has_value(row) or row.chance is None or not math.isfinite(row.chance):
    return "unknown"
  if len(row.parts) == 1:
    return "alone"
  sign = -1.0 if lower_is_better(row.metric) else 1.0
  return _word(sign * (row.value - row.chance), row.spread or 0.0)


def has_value(row: Row | None) -> bool:
  """Whether there is a number to show."""
  return row is not None and row.value is not None and math.isfinite(row.value)


def _word(difference: float, margin: float) -> Verdict:
  if abs(difference) <= margin:
    return "tie"
  return "better" if difference > 0 else "worse"


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


def best(rows: Sequence[Row]) -> Row | None:
  """The row with the best value; None where none has one."""
  scored = [row for row in rows if has_value(row)]
  if not scored:
    return None
  choose = min if lower_is_better(scored[0].metric) else max
  return choose(scored, key=lambda row: row.value)
