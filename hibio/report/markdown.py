"""Rows of results as Markdown: headlines first, then a table a protocol, methods side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from data_pipelines.markdown import cell
from hibio.evaluation.rows import Row, lower_is_better
from hibio.report.headlines import compared, headlines, title_of
from hibio.report.summary import figure, in_words
from hibio.report.tables import Block, Cell, TaskTable, number, task_tables
from hibio.report.verdicts import RULE
from hibio.report.vocabulary import (
  methods_explained,
  metrics_explained,
  protocol_explained,
  seen_in_words,
  task_of,
)


def markdown(rows: Iterable[Row], leaks: Sequence[str] = ()) -> str:
  """Everything that was measured.

  Bold is the best of the methods that see the same. A value is followed by "± sd" where its spread
  is known, and by the numbers of the notes under the task's tables.

  Args:
    leaks: reasons why these figures are not of unseen tissue; they come first.
  """
  rows = list(rows)
  text = [summary(rows, leaks)]
  for table in task_tables(rows):
    text += _task(table)
  return "\n".join(text) + "\n"


def summary(rows: Sequence[Row], leaks: Sequence[str] = ()) -> str:
  """The headline of each task: the model, the untrained one, the best simple baseline, chance."""
  text = [f"**LEAK: {cell(leak)}**\n" for leak in leaks]
  return "\n".join([*text, *_summary(rows)])


def _summary(rows: Sequence[Row]) -> Iterator[str]:
  title = cell(title_of(rows))
  yield "## Summary\n"
  yield (
    f"| task | metric | {title} | untrained | best simple baseline | chance"
    f" | {title} against the baseline |"
  )
  yield "|" + " --- |" * 7
  for line in headlines(rows):
    metric = f"{line.model.metric} {seen_in_words(line.sees)}".strip()
    metric += ", less is better" if lower_is_better(line.model.metric) else ""
    baseline = figure(line.baseline) + (f" ({line.baseline.method})" if line.baseline else "")
    chance = "-" if line.model.chance is None else number(line.model.chance)
    verdict = "; ".join([in_words(line), *line.warnings])
    cells = (line.model.task, metric, figure(line.model), figure(line.untrained), baseline)
    yield "| " + " | ".join(map(cell, (*cells, chance, verdict))) + " |"
  yield f"\nHow to read it: {compared(rows)} {RULE}"


def _task(table: TaskTable) -> Iterator[str]:
  about = task_of(table.task)
  yield f"\n## {about.title}: {cell(table.dataset)}, {cell(table.split)}\n"
  yield about.explained
  if about.reading:
    yield f"\nHow to read it: {about.reading}"
  for block in table.blocks:
    yield from _block(block, table)
  metrics = dict.fromkeys(line.metric for block in table.blocks for line in block.lines)
  yield from _glossary("Metrics", metrics_explained(metrics))
  yield from _glossary("Methods", methods_explained(column.method for column in table.columns))
  if table.footnotes:
    yield ""
  for place, note in enumerate(table.footnotes, start=1):
    yield f"[{place}] {cell(note)}  "


def _block(block: Block, table: TaskTable) -> Iterator[str]:
  """Only the methods that the protocol was asked of; few protocols are asked of all."""
  used = [
    place
    for place in range(len(table.columns))
    if any(line.cells[place].value for line in block.lines)
  ]
  names = [cell(table.columns[place].method) for place in used]
  where = f" ({cell(block.split)})" if block.split != table.split else ""
  yield f"\n### {cell(block.protocol)}{where}\n"
  if told := protocol_explained(block.protocol):
    yield f"{told[0].upper()}{told[1:]}.\n"
  yield "| metric | " + " | ".join(names) + " | chance | n |"
  yield "| --- |" + " ---: |" * (len(names) + 2)
  for line in block.lines:
    cells = [_cell(line.cells[place]) for place in used]
    metric = cell(line.metric) + _marks(line.notes)
    yield f"| {metric} | {' | '.join(cells)} | {line.chance} | {line.n} |"


def _glossary(heading: str, words: Sequence[tuple[str, str]]) -> Iterator[str]:
  if words:
    yield f"\n{heading}: " + "; ".join(f"`{name}`, {text}" for name, text in words) + "."


def _cell(cell: Cell) -> str:
  if not cell.value:
    return "-"
  value = f"**{cell.value}**" if cell.best else cell.value
  return value + cell.spread + _marks(cell.notes)


def _marks(notes: Sequence[int]) -> str:
  return "".join(f" [{note}]" for note in notes)
