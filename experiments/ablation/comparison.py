"""Scores of many runs -> for each preset and measure a mean, and its difference to the default."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.ablation.measures import MEASURES, Measure
from experiments.ablation.statistics import (
  FEWEST,
  Interval,
  Mean,
  mean_interval,
  paired_interval,
)
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
    over_sections: the mean over sections, of each one's mean over seeds, with its interval; None
      where the measure has no value for each section.
    over_donors: the same over donors, each the mean of its sections.
  """

  by_seed: Mapping[str, float]
  chance: float | None
  num_units: int
  over_sections: Mean | None = None
  over_donors: Mean | None = None

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
    over_donors: the same with donors as units, each the mean of its sections, where there are at
      least `FEWEST`.
  """

  presets: Mapping[str, Mapping[str, Cell]]
  baselines: Mapping[str, Mapping[str, Cell]]
  differences: Mapping[str, Mapping[str, Interval]]
  over_donors: Mapping[str, Mapping[str, Interval]] = dataclasses.field(default_factory=dict)

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

    def intervals(table: Mapping[str, Mapping[str, Interval]]) -> dict:
      return {
        name: {
          measure: {**dataclasses.asdict(one), "excludes_zero": one.excludes_zero}
          for measure, one in row.items()
        }
        for name, row in table.items()
      }

    return {
      "presets": cells(self.presets),
      "baselines": cells(self.baselines),
      "differences": intervals(self.differences),
      "differences_over_donors": intervals(self.over_donors),
    }


DonorOf = Mapping[str, str]
"""Section -> its donor."""


def compare(
  answers: Answers, baselines: Sequence[Row], donor_of: DonorOf | None = None
) -> Comparison:
  """All figures that the rows hold; what a run or a method was not asked is absent.

  Args:
    donor_of: of every section that was scored; without it nothing is said of donors.
  """
  donor_of = donor_of or {}
  presets = {
    name: _present({m.name: _cell(m, by_seed, donor_of) for m in MEASURES})
    for name, by_seed in answers.items()
  }
  methods = dict.fromkeys(row.method.partition("/")[0] for row in baselines)
  simple = {
    name: _present({m.name: _baseline_cell(m, baselines, name, donor_of) for m in MEASURES})
    for name in methods
  }
  reference = answers.get(REFERENCE, {})
  pairs = {
    name: _present({m.name: _pairs(m, by_seed, reference) for m in MEASURES})
    for name, by_seed in answers.items()
    if name != REFERENCE and reference
  }
  by_unit = {
    name: {measure: _interval(of_unit) for measure, of_unit in row.items()}
    for name, row in pairs.items()
  }
  by_donor = {
    name: {
      measure: _interval(of_donor)
      for measure, of_unit in row.items()
      if len(of_donor := _of_donors(of_unit, donor_of)) >= FEWEST
    }
    for name, row in pairs.items()
  }
  simple = {name: row for name, row in simple.items() if row}
  return Comparison(presets, simple, by_unit, {name: row for name, row in by_donor.items() if row})


def _present(row: Mapping[str, Any]) -> dict[str, Any]:
  return {name: value for name, value in row.items() if value is not None}


def _cell(measure: Measure, by_seed: Mapping[int, Sequence[Row]], donor_of: DonorOf) -> Cell | None:
  found = {seed: measure.row(rows) for seed, rows in by_seed.items()}
  return _cell_of(measure, {str(s): row for s, row in found.items() if row is not None}, donor_of)


def _baseline_cell(
  measure: Measure, rows: Sequence[Row], method: str, donor_of: DonorOf
) -> Cell | None:
  row = measure.baseline_row(rows, method)
  return None if row is None else _cell_of(measure, {"-": row}, donor_of)


def _cell_of(measure: Measure, rows: Mapping[str, Row], donor_of: DonorOf) -> Cell | None:
  if not rows:
    return None
  chances = [row.chance for row in rows.values() if row.chance is not None]
  units = [measure.units(row) for row in rows.values()]
  shared = {
    name: np.array([of_seed[name] for of_seed in units])
    for name in units[0]
    if all(name in of_seed for of_seed in units)
  }
  by_section = {name: values for name, values in shared.items() if name in donor_of}
  return Cell(
    {name: float(row.value) for name, row in rows.items()},
    float(np.mean(chances)) if chances else None,
    min(map(len, units)),
    _mean(by_section),
    _mean(_of_donors(by_section, donor_of)),
  )


_BySeed = Mapping[str, np.ndarray]
"""Unit -> a value of each seed."""


def _mean(units: _BySeed) -> Mean | None:
  if not units:
    return None
  return mean_interval(np.array([values.mean() for values in units.values()]))


def _of_donors(units: _BySeed, donor_of: DonorOf) -> dict[str, np.ndarray]:
  """Each donor as the mean of its sections."""
  found: dict[str, list[np.ndarray]] = {}
  for name, values in units.items():
    if name in donor_of:
      found.setdefault(donor_of[name], []).append(values)
  return {donor: np.mean(values, axis=0) for donor, values in found.items()}


def _pairs(
  measure: Measure, ours: Mapping[int, Sequence[Row]], theirs: Mapping[int, Sequence[Row]]
) -> dict[str, np.ndarray] | None:
  """Ours minus theirs of every unit, for the seeds and the units that both have."""
  pairs = []
  for seed in sorted(ours.keys() & theirs.keys()):
    one, other = measure.row(ours[seed]), measure.row(theirs[seed])
    if one is not None and other is not None:
      pairs.append((measure.units(one), measure.units(other)))
  if not pairs:
    return None
  units = [name for name in pairs[0][0] if all(name in a and name in b for a, b in pairs)]
  return {name: np.array([a[name] - b[name] for a, b in pairs]) for name in units} or None


def _interval(differences: _BySeed) -> Interval:
  return paired_interval(np.array(list(differences.values())))
