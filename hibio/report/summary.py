"""Where the marks of a summary line lie: model, untrained, baseline and chance on one scale.

The scale starts at 0, or clearly below it where a figure lies there, and ends at a round number: a
small difference looks small.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from hibio.evaluation.rows import Row, lower_is_better, seen
from hibio.report.headlines import HeadlineLine, headlines
from hibio.report.tables import number, spread
from hibio.report.verdicts import Verdict, has_value
from hibio.report.vocabulary import bare, feature_in_words, metric_explained, seen_in_words

_SLIGHT = 0.02
"""Share of the scale that a figure may lie below 0 without the scale being stretched for it."""

_ROUND = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)


@dataclasses.dataclass(frozen=True)
class Mark:
  """One figure; positions are percent of the scale.

  Attributes:
    low, high: ends of the value plus and minus its spread; equal where no spread is known.
  """

  role: str
  x: float
  low: float
  high: float


@dataclasses.dataclass(frozen=True)
class DotPlot:
  """A line of the summary, drawn.

  Attributes:
    low, high: the numbers at both ends of the scale.
    chance: percent of the scale; None where it is not known.
    lower_is_better: the good end is the left one.
  """

  marks: tuple[Mark, ...]
  low: str
  high: str
  chance: float | None
  lower_is_better: bool
  text: str


def dot_plot(line: HeadlineLine) -> DotPlot | None:
  """The marks of a line; None where nothing has a value."""
  shown = {"baseline": line.baseline, "untrained": line.untrained, "model": line.model}
  shown = {name: row for name, row in shown.items() if has_value(row)}
  if not shown:
    return None
  chance = line.model.chance
  known = chance is not None and math.isfinite(chance)
  values = [end for row in shown.values() for end in _ends(row)] + ([chance] if known else [])
  high = max(_round_up(max(values)), 1e-9)
  low = -_round_up(-min(values)) if min(values) < -_SLIGHT * high else 0.0

  def percent(value: float) -> float:
    return max(round(100.0 * (value - low) / (high - low), 2), 0.0)

  marks = tuple(
    Mark(name, percent(row.value), *(percent(end) for end in _ends(row)))
    for name, row in shown.items()
  )
  return DotPlot(
    marks, f"{low:g}", f"{high:g}", percent(chance) if known else None,
    lower_is_better(line.model.metric), _in_words(shown, chance if known else None),
  )  # fmt: skip


def _ends(row: Row) -> Sequence[float]:
  spread = row.spread if row.spread is not None and math.isfinite(row.spread) else 0.0
  return row.value - spread, row.value + spread


def _round_up(value: float) -> float:
  """The next round number at or above a positive value; 0 for others."""
  if value <= 0:
    return 0.0
  power = 10.0 ** math.floor(math.log10(value))
  return next(step * power for step in _ROUND if step * power >= value * (1 - 1e-9))


def _in_words(shown: dict[str, Row], chance: float | None) -> str:
  words = [f"{name} {number(row.value)}" for name, row in reversed(shown.items())]
  return ", ".join(words + ([f"chance {number(chance)}"] if chance is not None else []))


_SIGNS = {"better": "▲", "tie": "=", "worse": "▼", "unknown": "", "alone": ""}


def summary_view(rows: Sequence[Row], task_ids: Mapping[str, str]) -> list[dict[str, Any]]:
  """The tasks in order, each with its lines; all lines of a task are of one protocol and metric.

  Args:
    task_ids: task -> id of its section on the page.
  """
  found = headlines(rows)
  groups = [list(lines) for _, lines in itertools.groupby(found, key=lambda line: line.model.task)]
  return [
    {
      "question": lines[0].headline.question,
      "task_id": task_ids[lines[0].model.task],
      "metric": lines[0].model.metric,
      "explained": metric_explained(lines[0].model.metric),
      "protocol": lines[0].model.protocol,
      "lower": lower_is_better(lines[0].model.metric),
      "lines": [_figure_line(line) for line in lines],
    }
    for lines in groups
  ]


def figure(row: Row | None) -> str:
  """A value with its spread, or the reason why there is none; "-" where nothing was measured."""
  if row is None:
    return "-"
  if row.value is None:
    return "n/a" + (f" ({row.note.partition(';')[0]})" if row.note else "")
  return number(row.value) + spread(row)


def judged(line: HeadlineLine) -> Verdict:
  """The verdict of a line: against the best simple baseline, else against the untrained model."""
  return line.against_baseline if line.baseline else line.against_untrained


def in_words(line: HeadlineLine) -> str:
  """The verdict for a reader, under the heading "against the best simple baseline"."""
  word = judged(line)
  if word == "unknown":
    return "nothing to compare with"
  if word == "alone":
    return "of one alone: not called"
  if line.baseline is None:
    return "tie with untrained" if word == "tie" else f"{word} than untrained"
  return word


def _other_name(method: str) -> str:
  """The name under which the model takes part, where that is not its own."""
  return "" if method.startswith("hibio") else method


def _baseline_name(line: HeadlineLine) -> str:
  """Of the best simple baseline; what it sees stands beside it where that is not what is asked."""
  if not line.baseline:
    return ""
  method = line.baseline.method
  return bare(method) if seen(method) == line.sees else feature_in_words(method)


def _figure_line(line: HeadlineLine) -> dict[str, Any]:
  return {
    "sees": seen_in_words(line.sees) or _other_name(line.model.method),
    "plot": dot_plot(line),
    "model": figure(line.model),
    "untrained": figure(line.untrained),
    "baseline": figure(line.baseline),
    "baseline_name": _baseline_name(line),
    "chance": "-" if line.model.chance is None else number(line.model.chance),
    "word": judged(line),
    "sign": _SIGNS[judged(line)],
    "says": in_words(line),
    "warnings": line.warnings,
  }
