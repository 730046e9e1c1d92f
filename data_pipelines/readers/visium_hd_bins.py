"""The bins of a Visium HD slide: their places on the array and on the image, column by column.

A slide has eleven million bins of 2 um; no name of theirs becomes a string of its own.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
from jaxtyping import Bool, Float, Int

from data_pipelines.problems import BadInputError
from data_pipelines.readers.tissue_positions import POSITION_COLUMNS, read_positions

_NAME = r"s_\d{3}um_(?P<row>\d{5})_(?P<column>\d{5})"


@dataclasses.dataclass(frozen=True)
class Bins:
  """The bins of a positions file; `keys` are what they are joined to counts by."""

  keys: np.ndarray
  rows: Int[np.ndarray, " bin"]
  columns: Int[np.ndarray, " bin"]
  positions_px: Float[np.ndarray, "bin 2"]
  on_tissue: Bool[np.ndarray, " bin"]


def read_bins(path: Path) -> Bins:
  """The bins of a positions file.

  Raises:
    BadInputError: columns are missing, values are no numbers, bins are listed twice, or their names
      contradict their places.
  """
  if path.suffix == ".parquet":
    names, columns = _parquet(path)
  else:
    table = read_positions(path)
    names = pa.array(table.ids)
    columns = (table.on_tissue, table.rows, table.columns, *table.positions_px.T[::-1])
  on_tissue, rows, array_columns, y, x = columns
  keys = keys_of(names)
  rows, array_columns = rows.astype(np.int64), array_columns.astype(np.int64)
  if keys.dtype.kind == "i":
    wrong = keys != _key(rows, array_columns)
    if wrong.any():
      first = int(wrong.argmax())
      raise BadInputError(
        path,
        f"row {first + 1}",
        f"{names[first]} at row {rows[first]}, column {array_columns[first]}",
        "the row and column of its name",
        "take the file from the Space Ranger output as it is",
      )
  if len(pd.unique(keys)) < len(keys):
    twice = names.filter(pa.array(pd.Index(keys).duplicated()))
    raise BadInputError(
      path, "bins", f"{len(twice)} names twice ({twice[0]})", "each bin once", "remove the copies"
    )
  if not on_tissue.any():
    raise BadInputError(
      path, "column in_tissue", "0 everywhere", "bins on tissue", "mark the bins under tissue"
    )
  return Bins(keys, rows, array_columns, np.stack([x, y], axis=1), on_tissue.astype(bool))


def _parquet(path: Path) -> tuple[pa.Array, list[np.ndarray]]:
  """Names of the bins, and the other columns in their order."""
  again = "take the file from the Space Ranger output as it is"
  try:
    table = pa.parquet.read_table(path).combine_chunks()
    table.validate(full=True)  # text may be none
  except (pa.ArrowException, OSError, ValueError) as error:
    found = f"not readable ({str(error).splitlines()[0]})"
    raise BadInputError(path, "parquet", found, "a parquet table", again) from error
  if absent := [name for name in POSITION_COLUMNS if name not in table.column_names]:
    found, expected = ", ".join(table.column_names), ", ".join(POSITION_COLUMNS)
    raise BadInputError(path, "columns", found, expected, f"add or rename {absent[0]}")
  columns = []
  for name in POSITION_COLUMNS[1:]:
    try:
      column = table[name].cast(pa.float64()).to_numpy()
    except pa.ArrowException:
      column = np.full(len(table), np.nan)
    wrong = ~np.isfinite(column)
    if name == "in_tissue":
      wrong |= ~np.isin(column, (0, 1))
    if wrong.any():
      found = f"{table[name][int(wrong.argmax())]} in row {int(wrong.argmax()) + 1}"
      expected = "0 or 1" if name == "in_tissue" else "a number"
      raise BadInputError(path, f"column {name}", found, expected, again)
    columns.append(column)
  return pa.array(table["barcode"].cast(pa.string()).combine_chunks()), columns


def keys_of(names: pa.Array) -> np.ndarray:
  """What bins are joined by: the place on the array that their names state, else the names."""
  found = pc.extract_regex(names, pattern=_NAME)
  if found.null_count or not len(found):
    return np.array(names.to_pylist(), object)
  row, column = (
    pc.struct_field(found, name).cast(pa.int64()).to_numpy() for name in ("row", "column")
  )
  return _key(row, column)


def _key(rows: np.ndarray, columns: np.ndarray) -> Int[np.ndarray, " bin"]:
  return rows * 2**20 + columns
