"""Rows -> tables: a block a protocol, a line a metric, a column a method, with footnotes.

Both the page and the Markdown file are drawn from these.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence

from hibio.evaluation.rows import Row, seen
from hibio.report.headlines import ROLES, role
from hibio.report.verdicts import best, has_value

_ORDER_SEEN = ("image", "gene", "fused", "")


@dataclasses.dataclass(frozen=True)
class Column:
  """A method; methods that see the same stand together."""

  method: str
  role: str
  seen: str

  @property
  def name(self) -> str:
    """The method without what it sees, which stands above it."""
    return self.method.replace(f"/{self.seen}", "", 1) if self.seen else self.method


@dataclasses.dataclass(frozen=True)
class Cell:
  """One figure.

  Attributes:
    value: "" where the method was not measured, "n/a" where its figure is not defined.
    spread: " ± sd", or nothing.
    best: the best of those that see the same; controls and published figures do not compete.
    notes: numbers of footnotes.
  """

  value: str = ""
  spread: str = ""
  best: bool = False
  notes: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Line:
  """A metric, all methods; `notes` are those that hold for all of its cells."""

  metric: str
  cells: tuple[Cell, ...]
  chance: str
  n: str
  notes: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Block:
  """A protocol on a split."""

  protocol: str
  split: str
  lines: tuple[Line, ...]


@dataclasses.dataclass(frozen=True)
class TaskTable:
  """Everything measured of one task on one dataset; `footnotes[0]` is note 1."""

  task: str
  dataset: str
  split: str
  columns: tuple[Column, ...]
  blocks: tuple[Block, ...]
  footnotes: tuple[str, ...]

  @property
  def column_groups(self) -> list[tuple[str, int]]:
    """(what its methods see, how many they are), in order."""
    seen_by = [column.seen for column in self.columns]
    return [(what, seen_by.count(what)) for what in dict.fromkeys(seen_by)]


def task_tables(rows: Iterable[Row]) -> list[TaskTable]:
  """A table a (task, dataset), in the order of the rows."""
  groups: dict[tuple[str, str], list[Row]] = {}
  for row in rows:
    groups.setdefault((row.task, row.dataset), []).append(row)
  return [_task_table(group) for group in groups.values()]


def number(value: float | None) -> str:
  """Three decimals, fewer for large numbers; "n/a" for none."""
  if value is None or not math.isfinite(value):
    return "n/a"
  decimals = 3 if abs(value) < 10 else 2 if abs(value) < 100 else 1
  text = f"{value:,.{decimals}f}"
  return text.lstrip("-") if not text.strip("-0.,") else text  # no "-0.000"


def spread(row: Row) -> str:
  """ " ± sd" of a figure; nothing where there is no figure or no spread."""
  return f" ± {number(row.spread)}" if has_value(row) and row.spread is not None else ""


def _task_table(rows: Sequence[Row]) -> TaskTable:
  columns = _columns(rows)
  notes: dict[str, int] = {}
  by_block: dict[tuple[str, str], dict[str, list[Row]]] = {}
  for row in rows:
    block = by_block.setdefault((row.protocol, row.split), {})
    block.setdefault(row.metric, []).append(row)
  blocks = tuple(
    Block(protocol, split, tuple(_line(metric, line, columns, notes)
                                 for metric, line in metrics.items()))
    for (protocol, split), metrics in by_block.items()
  )  # fmt: skip
  splits = dict.fromkeys(row.split for row in rows)
  return TaskTable(rows[0].task, rows[0].dataset, "; ".join(splits), columns, blocks, tuple(notes))


def _columns(rows: Sequence[Row]) -> tuple[Column, ...]:
  found = {row.method: Column(row.method, role(row), seen(row.method))
           for row in rows}  # fmt: skip
  return tuple(
    sorted(found.values(), key=lambda c: (_ORDER_SEEN.index(c.seen), ROLES.index(c.role)))
  )


def _line(
  metric: str, rows: Sequence[Row], columns: Sequence[Column], notes: dict[str, int]
) -> Line:
  by_method = {row.method: row for row in rows}
  everywhere = set.intersection(*({row.note} for row in rows)) - {""} if len(rows) > 1 else set()
  winners = _winners(by_method, columns) if _is_contest(metric, rows) else set()
  cells = []
  for column in columns:
    row = by_method.get(column.method)
    if row is None:
      cells.append(Cell())
      continue
    own = () if not row.note or row.note in everywhere else (_note(row.note, notes),)
    cells.append(Cell(number(row.value), spread(row), column.method in winners, own))
  return Line(
    metric,
    tuple(cells),
    _range([row.chance for row in rows if row.chance is not None], number) or "-",
    _range([row.n for row in rows], lambda n: f"{n:,}"),
    tuple(_note(note, notes) for note in sorted(everywhere)),
  )


def _is_contest(metric: str, rows: Sequence[Row]) -> bool:
  """Sizes of regions, ratios, overlaps with another list and shuffled controls have no best."""
  has_chance = any(row.chance is not None for row in rows) and "relative" not in metric
  return has_chance and "shuffled" not in metric and metric not in {row.method for row in rows}


def _winners(by_method: dict[str, Row], columns: Sequence[Column]) -> set[str]:
  """The best of each group of methods that see the same, where there is anything to win."""
  found = set()
  for what in {column.seen for column in columns}:
    group = [
      by_method[c.method]
      for c in columns
      if c.seen == what and c.role in ("model", "untrained", "baseline") and c.method in by_method
    ]
    scored = [row for row in group if has_value(row)]
    if len(scored) > 1:
      top = number(best(scored).value)
      found |= {row.method for row in scored if number(row.value) == top}
  return found


def _note(text: str, notes: dict[str, int]) -> int:
  return notes.setdefault(text, len(notes) + 1)


def _range(values: Sequence[float | int], form: Callable[[float], str]) -> str:
  """One number, or the smallest and the largest where methods differ; "" for none."""
  if not values:
    return ""
  low, high = form(min(values)), form(max(values))
  return low if low == high else f"{low} to {high}"
