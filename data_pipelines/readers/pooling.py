"""Squares of a chosen pitch, each of which becomes a spot: bins, cells and transcripts are pooled.

Counts are summed piece by piece: in memory are the sums, and one piece.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix

from data_pipelines.problems import BadInputError
from data_pipelines.readers.joins import LabelTable
from data_pipelines.readers.raw_counts import RawCounts, whole_counts

SPOT_UM = 55.0
"""Pitch that cells and transcripts are pooled to unless another is asked for: a spot of Visium."""

_MIN_SHARE_PLACED = 0.95


@dataclasses.dataclass(frozen=True)
class Squares:
  """The squares in which something lies, row by row.

  Attributes:
    array: (row, column) of each square.
    of_item: the square of each item.
  """

  array: Int[np.ndarray, "square 2"]
  of_item: Int[np.ndarray, " item"]

  def __len__(self) -> int:
    return len(self.array)

  @property
  def ids(self) -> np.ndarray:
    """`XxY` of each square, as spots of the first arrays are called."""
    return np.array([f"{column}x{row}" for row, column in self.array.tolist()], str)

  def means(self, values: Float[np.ndarray, "item axis"]) -> Float[np.ndarray, "square axis"]:
    """Mean of the values of the items in each square."""
    sums = [np.bincount(self.of_item, column, len(self)) for column in values.T]
    return np.stack(sums, axis=1) / np.bincount(self.of_item, minlength=len(self))[:, None]


def squares(rows: np.ndarray, columns: np.ndarray) -> Squares:
  """The squares that items lie in, by the whole row and column of each item."""
  rows, columns = np.asarray(rows, np.int64), np.asarray(columns, np.int64)
  left, width = columns.min(), np.ptp(columns) + 1
  keys, of_item = np.unique(rows * width + columns - left, return_inverse=True)
  row, column = np.divmod(keys, width)
  return Squares(np.stack([row, column + left], axis=1), of_item)


@dataclasses.dataclass(frozen=True)
class Items:
  """Bins or cells, and the square that each lies in.

  Attributes:
    what: they are, in the plural, for messages.
    path: file that says where they lie.
    row_of: ids -> which item each is; -1 where there is none of that id.
    square: of each item; -1 where it is not to be counted.
    ids: of the squares.
    others: what those are that are not to be counted.
  """

  what: str
  path: Path
  row_of: Callable[[np.ndarray], np.ndarray]
  square: Int[np.ndarray, " item"]
  ids: np.ndarray
  others: str = "beside the tissue"

  def squares_at(self, rows: Int[np.ndarray, " row"]) -> Int[np.ndarray, " row"]:
    """The square of each of these items; -1 where there is none."""
    return np.where(rows >= 0, self.square[np.maximum(rows, 0)], -1)


def summed(pieces: Iterable[RawCounts], items: Items) -> RawCounts:
  """Raw counts of each square: sums over the items that lie in it.

  Args:
    pieces: counts of a part of the items each, over the same genes.

  Raises:
    BadInputError: counts are not raw, an item has counts twice, or many have no place.
  """
  total, piece, unplaced, left_out, seen = None, None, 0, 0, 0
  counted = np.zeros(len(items.square), bool)
  for piece in pieces:
    rows = items.row_of(piece.spot_ids)
    placed = rows[rows >= 0]
    if counted[placed].any() or len(np.unique(placed)) < len(placed):
      raise _twice(piece, items.what)
    counted[placed] = True
    square = items.squares_at(rows)
    inside = np.flatnonzero(square >= 0)
    onto = csr_matrix(
      (np.ones(len(inside), np.int64), (square[inside], inside)), (len(items.ids), len(rows))
    )
    part = onto @ whole_counts(piece)
    total = part if total is None else total + part
    seen += len(rows)
    unplaced += len(rows) - len(placed)
    left_out += len(placed) - len(inside)
  if piece is None:
    expected = f"counts of the {items.what} in {items.path.name}"
    raise BadInputError(items.path.parent, "counts", "an empty matrix", expected, "add the counts")
  if unplaced > (1 - _MIN_SHARE_PLACED) * seen or unplaced == seen:
    raise _elsewhere(piece, unplaced, seen, items)
  dropped = {
    f"{items.what} without a position": unplaced,
    f"{items.what} {items.others}": left_out,
  }
  return dataclasses.replace(
    piece,
    counts=total,
    spot_ids=items.ids,
    dropped={**piece.dropped, **{reason: n for reason, n in dropped.items() if n}},
  )


def most_common(table: LabelTable, items: Items) -> LabelTable:
  """Labels of squares: of the labels of a square's items, the one that most of them have.

  Args:
    table: labels of items.
  """
  square = items.squares_at(items.row_of(table.ids))
  columns = {}
  for name, labels in table.columns.items():
    known = pd.DataFrame({"square": square, "label": labels})
    known = known[(known["square"] >= 0) & (known["label"].str.strip() != "")]
    # Ties go to the name that comes first.
    sizes = known.value_counts().reset_index(name="items")
    sizes = sizes.sort_values(["items", "label"], ascending=[False, True])
    first = sizes.drop_duplicates("square").set_index("square")["label"]
    columns[name] = first.reindex(np.arange(len(items.ids)), fill_value="").to_numpy(str)
  return LabelTable(table.path, items.ids, columns, table.dropped)


def _twice(piece: RawCounts, what: str) -> BadInputError:
  ids = pd.Index(piece.spot_ids)
  found = f"{what} twice ({', '.join(ids[ids.duplicated()][:3]) or 'in two parts of the file'})"
  return BadInputError(
    piece.path, what, found, f"counts of each of the {what} once", "remove the repeated ones"
  )


def _elsewhere(piece: RawCounts, unplaced: int, seen: int, items: Items) -> BadInputError:
  return BadInputError(
    items.path,
    items.what,
    f"no place of {unplaced:,} of {seen:,} {items.what} that have counts",
    f"names like {', '.join(piece.spot_ids[:3].tolist())}, as in {piece.path.name}",
    "check that both files belong to the same section",
  )
