"""Scores of many runs -> for each preset and measure a mean, and its difference to the default."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.ablation.measures import MEASURES, Measure
from experiments.ablation.statistics import Interval, paired_interval
from hibio.evaluation.rows import Row

REFERENCE = "default"

Answers = Mapping[str, Mapping[int, Sequence[Row]]]
"""Preset -> seed -> rows."""


@dataclasses.dataclass(frozen=True)
class Cell:
  """One figure.

  Attributes:
    by_seed: seed -> value; a single "-" for what has no seed.
    chance: what guessing gives.
    num_units: sections (or what the measure's unit is) that each value is the mean of.
  """

  by_seed: Mapping[str, float]
  chance: float | None
  num_units: int

  @property
  def mean(self) -> float:
    return float(np.mean(list(self.by_seed.values())))

  @property
  def sd(self) -> float | None:
    """Sample standard deviation over seeds, of at least two."""
    values = list(self.by_seed.values())
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


@dataclasses.dataclass(frozen=True)
class Comparison:
  """Everything that the tables and figures show.

  Attributes:
    presets: preset -> measure -> figure.
    baselines: the same of methods that no run had a part in.
    differences: preset -> measure -> preset minus default, on the same units with the same seeds.
  """

  presets: Mapping[str, Mapping[str, Cell]]
  baselines: Mapping[str, Mapping[str, Cell]]
  differences: Mapping[str, Mapping[str, Interval]]

  def to_json(self) -> dict[str, Any]:
    """Plain values."""

    def cells(table: Mapping[str, Mapping[str, Cell]]) -> dict:
      return {
        name: {
          measure: {**dataclasses.asdict(cell), "mean": cell.mean, "sd": cell.sd}
          for measure, cell in row.items()
        }
        for name, row in table.items()
      }

    return {
      "presets": cells(self.presets),
      "baselines": cells(self.baselines),
      "differences": {
        name: {
          measure: {**dataclasses.asdict(one), "excludes_zero": one.excludes_zero}
          for measure, one in row.items()
        }
        for name, row in self.differences.items()
      },
    }


def compare(answers: Answers, baselines: Sequence[Row]) -> Comparison:
  """All figures that the rows hold; what a run or a method was not asked is absent."""
  presets = {
    name: _present({m.name: _cell(m, by_seed) for m in MEASURES})
    for name, by_seed in answers.items()
  }
  methods = dict.fromkeys(row.method.partition("/")[0] for row in baselines)
  simple = {
    name: _present({m.name: _baseline_cell(m, baselines, name) for m in MEASURES})
    for name in methods
  }
  reference = answers.get(REFERENCE, {})
  differences = {
    name: _present({m.name: _difference(m, by_seed, reference) for m in MEASURES})
    for name, by_seed in answers.items()
    if name != REFERENCE and reference
  }
  return Comparison(presets, {name: row for name, row in simple.items() if row}, differences)


def _present(row: Mapping[str, Any]) -> dict[str, Any]:
  return {name: value for name, value in row.items() if value is not None}


def _cell(measure: Measure, by_seed: Mapping[int, Sequence[Row]]) -> Cell | None:
  found = {seed: measure.row(rows) for seed, rows in by_seed.items()}
  return _cell_of(measure, {str(s): row for s, row in found.items() if row is not None})


def _baseline_cell(measure: Measure, rows: Sequence[Row], method: str) -> Cell | None:
  row = measure.baseline_row(rows, method)
  return None if row is None else _cell_of(measure, {"-": row})


def _cell_of(measure: Measure, rows: Mapping[str, Row]) -> Cell | None:
  if not rows:
    return None
  chances = [row.chance for row in rows.values() if row.chance is not None]
  return Cell(
    {name: float(row.value) for name, row in rows.items()},
    float(np.mean(chances)) if chances else None,
    min(len(measure.units(row)) for row in rows.values()),
  )


def _difference(
  measure: Measure, ours: Mapping[int, Sequence[Row]], theirs: Mapping[int, Sequence[Row]]
) -> Interval | None:
  """Over the seeds and the units that both have."""
  pairs = []
  for seed in sorted(ours.keys() & theirs.keys()):
    one, other = measure.row(ours[seed]), measure.row(theirs[seed])
    if one is not None and other is not None:
      pairs.append((measure.units(one), measure.units(other)))
  if not pairs:
    return None
  units = [name for name in pairs[0][0] if all(name in a and name in b for a, b in pairs)]
  if not units:
    return None
  return paired_interval(np.array([[a[name] - b[name] for a, b in pairs] for name in units]))
