"""Rows of results as Markdown tables, one a task, methods side by side."""

from __future__ import annotations

from collections.abc import Iterable

from hibio.tasks.rows import Row


def markdown(rows: Iterable[Row]) -> str:
  """One table a task: a line a (protocol, metric), a column a method, chance last."""
  text = []
  by_task: dict[str, list[Row]] = {}
  for row in rows:
    by_task.setdefault(row.task, []).append(row)
  for task, group in by_task.items():
    methods = list(dict.fromkeys(row.method for row in group))
    text.append(f"\n## {task}: {group[0].dataset}, {group[0].split}\n")
    text.append("| protocol | metric | " + " | ".join(methods) + " | chance | n |")
    text.append("|" + " --- |" * (len(methods) + 4))
    lines: dict[tuple[str, str], list[Row]] = {}
    for row in group:
      lines.setdefault((row.protocol, row.metric), []).append(row)
    for (protocol, metric), line in lines.items():
      value = {row.method: row.value for row in line}
      cells = [_number(value.get(method)) for method in methods]
      chance = _number(line[0].chance)
      text.append(f"| {protocol} | {metric} | {' | '.join(cells)} | {chance} | {line[0].n} |")
  return "\n".join(text) + "\n"


def _number(value: float | None) -> str:
  return "-" if value is None else f"{value:.3f}"
