"""Joining tables by spot id, and counting what does not join."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Int

from data_pipelines.console import counted
from data_pipelines.problems import BadInputError
from data_pipelines.section import UNLABELLED
from data_pipelines.text_files import names_shown, read_table

_ID_COLUMNS = ("barcode", "barcodes", "spot", "spot_id", "spots", "id", "")
_NOT_LABELS = frozenset(
  ("x", "y", "new_x", "new_y", "pixel_x", "pixel_y", "array_row", "array_col", "in_tissue")
)
_CORES = (
  re.compile(r"(s_\d{3}um_\d{5}_\d{5})[-._]?(\d*)"),
  re.compile(r"(?<![A-Z])([ACGTN]{10,})(?![A-Z])[-._]?(\d*)", re.IGNORECASE),
  re.compile(r"(?<!\d)(\d{1,3}x\d{1,3})(?!\d)()"),
)
"""What of a name says which spot it is, and the number behind it, which says of which capture area:
bins of Visium HD, barcodes, places on a legacy array. Tools put samples before and behind them."""

_FEW, _FEW_OF_ALL = 2, 0.01
"""Names of one place that are no second slide: real tables name single spots twice."""


@dataclasses.dataclass(frozen=True)
class LabelTable:
  """Labels by spot id: `columns` holds one list of strings a label, in the order of `ids`."""

  path: Path
  ids: np.ndarray
  columns: dict[str, np.ndarray]
  dropped: dict[str, int] = dataclasses.field(default_factory=dict)


def match(wanted: np.ndarray, present: np.ndarray) -> tuple[Int[np.ndarray, " wanted"], str | None]:
  """Row in `present` of each wanted id (-1 where absent), and the rule if ids had to be adapted.

  Names that differ by suffixes, by a sample's name before or behind, or in case are joined by their
  barcode or place alone, else by that and the number behind it: by what joins more, and is unique
  on both sides.
  """
  rows = pd.Index(present).get_indexer(pd.Index(wanted))
  if (rows >= 0).mean() >= 0.95:
    return rows, None
  for parts, rule in enumerate(("barcode", "barcode and the number behind it"), 1):
    cores = [[place_of(i)[:parts] for i in ids] for ids in (wanted, present)]
    if any(len(set(core)) < len(core) for core in cores):
      continue
    place = {core: row for row, core in enumerate(cores[1])}
    by_core = np.array([place.get(core, -1) for core in cores[0]], np.int64)
    if (joined := int((by_core >= 0).sum())) > (rows >= 0).sum():
      example = f"{wanted[0]} and {present[0]}"
      return by_core, f"joined by {rule} alone ({example}): {joined:,} of {len(wanted):,} names"
  return rows, None


def no_overlap(path: Path, field: str, wanted: np.ndarray, present: np.ndarray) -> BadInputError:
  """The error for two files that share no, or too few, spots; shows names of both sides."""
  if pairs := twins(wanted):
    return BadInputError(
      path,
      field,
      f"counts of {len(wanted)} spots, {len(pairs)} of them named as another but for what stands "
      f"before or behind ({' and '.join(pairs[0])})",
      "counts of one slide (two slides in one table?)",
      "give each slide as a section of its own, with its own counts and positions",
    )
  lacking = wanted[match(wanted, present)[0] < 0].tolist()
  return BadInputError(
    path,
    field,
    f"{len(wanted) - len(lacking)} of the {len(wanted)} spots that have counts (found "
    f"{', '.join(present[:3])}; not {', '.join(lacking[:3])})",
    f"names like {', '.join((lacking or wanted.tolist())[:3])}",
    "check that both files belong to the same section",
  )


def twins(names: np.ndarray, joined: np.ndarray | None = None) -> list[tuple[str, str]]:
  """Names with an earlier one of the same barcode or place; none where they are only a few.

  Args:
    joined: which names are joined; others are then looked for among these.
  """
  first: dict[str, str] = {}
  pairs = []
  for number in range(len(names)) if joined is None else np.argsort(~joined, kind="stable"):
    name = str(names[number])
    same = first.setdefault(place_of(name)[0], name)
    if same != name and (joined is None or not joined[number]):
      pairs.append((same, name))
  return pairs if len(pairs) > max(_FEW, _FEW_OF_ALL * len(names)) else []


def read_labels(path: Path) -> LabelTable:
  """A table with an id column (barcode, spot, id, or the first) and label columns.

  Raises:
    BadInputError: no label column.
  """
  table = read_table(path)
  lower = [str(name).lower() for name in table.columns]
  key = next((lower.index(name) for name in _ID_COLUMNS if name in lower), 0)
  columns = {
    str(name): table[name].to_numpy(str)
    for number, name in enumerate(table.columns)
    if number != key and lower[number] not in _NOT_LABELS
  }
  if not columns:
    raise BadInputError(
      path,
      "columns",
      names_shown(table.columns),
      "an id column and a label column",
      "add a column of labels",
    )
  return LabelTable(path, table.iloc[:, key].to_numpy(str), columns)


def joined_labels(
  table: LabelTable, spot_ids: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, int], tuple[str, ...]]:
  """Name -> one label a spot ("" = none), what was left out, and notes.

  Raises:
    BadInputError: no label belongs to any spot, or a spot has two labels.
  """
  if len(set(table.ids.tolist())) < len(table.ids):
    twice = table.ids[pd.Index(table.ids).duplicated()]
    raise BadInputError(
      table.path,
      "spots",
      f"{len(twice)} names twice ({', '.join(twice[:3])})",
      "one label a spot",
      "remove the repeated rows",
    )
  rows, rule = match(spot_ids, table.ids)
  if not (rows >= 0).any():
    raise no_overlap(table.path, "labels", spot_ids, table.ids)
  labels, dropped = {}, dict(table.dropped)
  notes = [] if rule is None else [f"{table.path.name}: {rule}"]
  unused = len(table.ids) - int((rows >= 0).sum())
  if unused:
    dropped["labels without a spot"] = unused
  for name, values in table.columns.items():
    clean = np.array([v.strip() for v in values.tolist()])
    clean[[v.lower() in UNLABELLED for v in clean.tolist()]] = ""
    labels[name] = np.where(rows >= 0, clean[np.maximum(rows, 0)], "")
    if unlabelled := int((labels[name] == "").sum()):
      notes.append(f"label {name}: {counted(unlabelled, 'spots without one')}")
  return labels, dropped, tuple(notes)


def place_of(identifier: str) -> tuple[str, str]:
  """(what says which spot it is, the number behind it); the name itself where nothing does."""
  for pattern in _CORES:
    found = pattern.findall(identifier)
    if found:
      core, number = found[-1]
      return core.upper(), number
  return identifier, ""
