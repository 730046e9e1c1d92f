"""Space Ranger's table of positions, whatever its version."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from data_pipelines.problems import BadInputError
from data_pipelines.readers.assembly import Positions
from data_pipelines.text_files import read_numbers, read_text, recognise

POSITION_COLUMNS = (
  "barcode",
  "in_tissue",
  "array_row",
  "array_col",
  "pxl_row_in_fullres",
  "pxl_col_in_fullres",
)

NAMES_OF_XY = (
  ("pxl_col_in_fullres", "pxl_row_in_fullres"), ("pixel_x", "pixel_y"), ("imagecol", "imagerow"),
  ("x_px", "y_px"), ("xaxis", "yaxis"), ("x_coord", "y_coord"), ("xcoord", "ycoord"), ("x", "y"),
)  # fmt: skip
"""What tables call the pixels of a spot, across and down; the surest first."""


def read_positions(path: Path, part: str = "") -> Positions:
  """The positions file of any version, with a header or without one.

  Args:
    part: only spots whose barcode ends so, where a file holds several slides.

  Raises:
    BadInputError: not six columns, values that are not numbers, `in_tissue` other than 0 and 1, a
      barcode twice.
  """
  if path.suffix == ".parquet":
    recognise(path)
    try:
      table = pd.read_parquet(path).astype(str)
    except Exception as error:  # pyarrow raises its own kinds
      raise BadInputError(
        path, "parquet", f"not readable ({error})", "a parquet table", "copy the file again"
      ) from error
  else:
    table = _position_rows(path)
  if absent := [name for name in POSITION_COLUMNS if name not in table]:
    raise BadInputError(
      path,
      "header",
      ", ".join(map(str, table.columns)),
      ", ".join(POSITION_COLUMNS),
      f"add or rename {absent[0]}",
    )
  table = table[table["barcode"].str.endswith(part)].reset_index(drop=True)
  on_tissue = table["in_tissue"].str.strip().str.lower()
  on_tissue = on_tissue.replace({"true": "1", "false": "0", "1.0": "1", "0.0": "0"})
  if not on_tissue.isin(("0", "1")).all():
    wrong = table["in_tissue"][~on_tissue.isin(("0", "1"))].iloc[0]
    raise BadInputError(path, "column in_tissue", repr(wrong), "0 or 1", "correct the column")
  numbers = read_numbers(table, list(POSITION_COLUMNS[2:]), path)
  return Positions(
    path=path,
    ids=table["barcode"].to_numpy(str),
    rows=numbers["array_row"].to_numpy(),
    columns=numbers["array_col"].to_numpy(),
    positions_px=numbers[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy(),
    on_tissue=(on_tissue == "1").to_numpy(),
  )


def _position_rows(path: Path) -> pd.DataFrame:
  rows = [line.replace('"', "").split(",") for line in read_text(path).split("\n") if line.strip()]
  bad = next((n for n, row in enumerate(rows, 1) if len(row) != 6), None)
  if bad is not None:
    raise BadInputError(
      path,
      f"line {bad}",
      f"{','.join(rows[bad - 1])[:60]!r}",
      "six columns separated by commas",
      "give the file as Space Ranger wrote it",
    )
  # The name of the file says nothing: both names exist with and without a header.
  header = not re.fullmatch(r"\s*(-?[\d.]+|true|false)\s*", rows[0][1], re.IGNORECASE)
  names = [name.strip() for name in rows[0]] if header else list(POSITION_COLUMNS)
  if len(set(names)) < len(names):
    raise BadInputError(path, "header", ", ".join(names), ", ".join(POSITION_COLUMNS), "rename")
  return pd.DataFrame(rows[1:] if header else rows, columns=names, dtype=str)
