"""The first screen: a line a task and modality, with the figures, their plot and the verdict."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.report.dot_plot import dot_plot
from experiments.report.headlines import HeadlineLine, headlines
from experiments.report.methods import lower_is_better, seen_in_words
from experiments.report.tables import number
from experiments.report.verdict import Verdict
from hibio.tasks.rows import Row

_SIGNS = {"above": "▲", "ties": "=", "below": "▼", "unknown": ""}


def summary_view(
  rows: Sequence[Row], model_methods: Sequence[str], task_ids: Mapping[str, str]
) -> list[dict[str, Any]]:
  """The tasks in order, each with its lines; all lines of a task are of one protocol and metric.

  Args:
    task_ids: task -> id of its section on the page.
  """
  found = headlines(rows, model_methods)
  groups = [list(lines) for _, lines in itertools.groupby(found, key=lambda line: line.model.task)]
  return [
    {
      "question": lines[0].headline.question,
      "task_id": task_ids[lines[0].model.task],
      "metric": lines[0].model.metric,
      "protocol": lines[0].model.protocol,
      "lower": lower_is_better(lines[0].model.metric),
      "lines": [_line(line) for line in lines],
    }
    for lines in groups
  ]


def figure(row: Row | None) -> str:
  """A value with its spread, or the reason why there is none; "-" where nothing was measured."""
  if row is None:
    return "-"
  if row.value is None:
    return "n/a" + (f" ({row.note.partition(';')[0]})" if row.note else "")
  return number(row.value) + (f" ± {number(row.spread)}" if row.spread is not None else "")


def judged(line: HeadlineLine) -> Verdict:
  """The verdict of a line: against the best simple baseline, else against the untrained model."""
  return line.against_baseline if line.baseline else line.against_untrained


def in_words(line: HeadlineLine) -> str:
  """The verdict for a reader, under the heading "the best simple baseline"."""
  word = judged(line).word
  if word == "unknown":
    return "nothing to compare"
  if line.baseline is None:
    return f"{word} untrained"
  return word


def _other_name(method: str) -> str:
  """The name under which the model takes part, where that is not its own."""
  return "" if method.startswith("hibio") else method


def _line(line: HeadlineLine) -> dict[str, Any]:
  return {
    "sees": seen_in_words(line.sees) or _other_name(line.model.method),
    "plot": dot_plot(line),
    "model": figure(line.model),
    "untrained": figure(line.untrained),
    "baseline": figure(line.baseline),
    "baseline_name": line.baseline.method if line.baseline else "",
    "chance": "-" if line.model.chance is None else number(line.model.chance),
    "word": judged(line).word,
    "sign": _SIGNS[judged(line).word],
    "says": in_words(line),
    "warnings": line.warnings if line.baseline else ("no simple baseline", *line.warnings),
  }
