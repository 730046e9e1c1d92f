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
from scipy.spatial import cKDTree

from data_pipelines.problems import BadInputError
from data_pipelines.readers import array_fit
from data_pipelines.readers.joins import LabelTable
from data_pipelines.readers.raw_counts import RawCounts, whole_counts
from data_pipelines.section import Section

SPOT_UM = 55.0
"""Pitch that cells and transcripts are pooled to unless another is asked for: a spot of Visium."""

_MIN_SHARE_PLACED = 0.95

_CLOSER, _REGULAR = 0.95, 0.02
"""How much less than a spot's distance a pitch may be, and how much steps of a lattice differ."""

_MOST_MEASURED = 20_000


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


def pooled(section: Section, pitch_um: float) -> Section:
  """The section with squares of this pitch in place of its spots: cells, bins or smaller spots.

  Squares of a square lattice are of whole bins each, and lie where these do on average.

  Raises:
    BadInputError: spots lie farther apart than the pitch.
  """
  apart = _apart_um(section)
  if pitch_um < _CLOSER * apart:
    raise BadInputError(
      section.section_id, "pitch_um", f"{pitch_um:g}, and spots {apart:.3g} um apart",
      "squares that hold a spot at least", f"leave it out, or give {apart:.3g} or more",
    )  # fmt: skip
  across = round(pitch_um / apart) if _is_square_lattice(section, apart) else None
  if across:
    pitch_um = across * apart
    found = squares(*(section.array_positions // across).T)
    positions_um = found.means(section.positions_um)
  else:
    found = squares(*np.floor(section.positions_um[:, ::-1] / pitch_um).T)
    positions_um = (found.array[:, ::-1] + 0.5) * pitch_um
  number = np.arange(section.num_spots)
  onto = csr_matrix((np.ones(len(number), np.int64), (found.of_item, number)))
  path = Path(section.section_id)
  items = Items("spots", path, lambda ids: number, found.of_item, found.ids)
  table = LabelTable(path, section.spot_ids, dict(section.labels))
  return dataclasses.replace(
    section,
    counts=(onto @ section.counts.astype(np.int64)).astype(np.int32),
    spot_ids=found.ids,
    positions_um=positions_um,
    positions_px=positions_um / section.um_per_px,
    array_positions=found.array,
    spot_um=pitch_um,
    labels=most_common(table, items).columns,
    notes=(
      *section.notes,
      f"{len(number):,} spots, {apart:.3g} um apart, pooled to squares of {pitch_um:.4g} um",
    ),
  )


def cells_said(section: Section) -> Section:
  """The section with a note where its spots are as close as cells or bins."""
  apart = _apart_um(section)
  if not 0 < apart < SPOT_UM / 2:
    return section
  note = (
    f"spots lie {apart:.3g} um apart, as cells or bins do; a model of spots reads them pooled "
    f"(pitch_um {SPOT_UM:g})"
  )
  return dataclasses.replace(section, notes=(*section.notes, note))


def _apart_um(section: Section) -> float:
  """From a spot to the nearest one, the median."""
  places = np.unique(section.positions_um, axis=0)
  if len(places) < 2:
    return 0.0
  return float(np.median(cKDTree(places).query(places[:_MOST_MEASURED], k=2)[0][:, 1]))


def _is_square_lattice(section: Section, apart: float) -> bool:
  """Whether a row and a column of the array are as long as spots lie apart."""
  fit = array_fit.fitted(section.array_positions, section.positions_um)
  steps = np.zeros(2) if fit is None else np.linalg.norm(fit.matrix, axis=1)
  return bool((np.abs(steps / max(apart, 1e-9) - 1) < _REGULAR).all())


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
