"""A few columns of a large table, Parquet or text, a million rows at a time.

Tables of cells have dozens of columns, and tables of transcripts a billion rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from jaxtyping import Float

from data_pipelines.problems import BadInputError
from data_pipelines.text_files import as_numbers, decimals, open_bytes, recognise, separator

_ROWS = 1_000_000
_AGAIN = "copy or download the file again"


def names_in(path: Path) -> list[str]:
  """The columns of a table; one without a name is "".

  Raises:
    BadInputError: the file cannot be read.
  """
  if _is_parquet(path):
    return list(_parquet(path).schema_arrow.names)
  with open_bytes(path) as stream:
    line = stream.readline(1 << 24).decode("utf-8-sig", "replace").rstrip("\r\n")
  return [name.strip().strip('"') for name in line.split(separator(line))]


def chosen(path: Path, *names: str | tuple[str, ...]) -> list[str]:
  """The columns of these names, whatever their case; of several the first that is there.

  Raises:
    BadInputError: one of them is missing.
  """
  there = names_in(path)
  lower = {name.lower(): name for name in reversed(there)}
  found = []
  for name in names:
    options = (name,) if isinstance(name, str) else name
    # One table may have cell_ID, a number, and cell_id, a name.
    exact = (option for option in options if option in there)
    alike = (lower[option.lower()] for option in options if option.lower() in lower)
    match = next(exact, None) or next(alike, None)
    if match is None:
      raise BadInputError(
        path,
        f"column {options[0]}",
        f"only {', '.join(there[:12])}",
        " or ".join(options),
        "give the file as the instrument's software wrote it",
      )
    found.append(match)
  return found


def read(path: Path, names: Sequence[str], rows: int = _ROWS) -> Iterator[pd.DataFrame]:
  """These columns as text or as they are stored, some rows at a time.

  Raises:
    BadInputError: the file is damaged.
  """
  if _is_parquet(path):
    for batch in _batches(_parquet(path), path, names, rows):
      yield _plain(batch)[list(names)]
    return
  there = names_in(path)
  with open_bytes(path) as stream:
    first = stream.readline(1 << 24).decode("utf-8-sig", "replace")
    try:
      yield from pd.read_csv(
        stream,
        sep=separator(first),
        header=None,
        names=there,
        usecols=[there.index(name) for name in names],
        dtype=str,
        keep_default_na=False,
        na_filter=False,
        index_col=False,
        chunksize=rows,
        encoding_errors="replace",
      )
    except pd.errors.EmptyDataError:
      return
    except (pd.errors.ParserError, ValueError) as error:
      if isinstance(error, BadInputError):
        raise
      raise BadInputError(
        path, "table", f"not readable ({str(error).strip()})", "a whole table", _AGAIN
      ) from error


def read_all(path: Path, names: Sequence[str]) -> pd.DataFrame:
  """These columns whole."""
  empty = pd.DataFrame({name: pd.Series(dtype=str) for name in names})
  return pd.concat([*read(path, names)] or [empty])


def numbers(table: pd.DataFrame, names: Sequence[str], path: Path) -> Float[np.ndarray, "row name"]:
  """Columns as finite numbers.

  Raises:
    BadInputError: a cell is none; it names the first.
  """
  values = [table[name] for name in names]
  columns = [
    column.to_numpy(np.float64) if column.dtype.kind in "iufb" else as_numbers(column.tolist())
    for column in values
  ]
  for name, texts, column in zip(names, values, columns, strict=True):
    wrong = ~np.isfinite(column)
    if wrong.any():
      row = int(wrong.argmax())
      raise BadInputError(
        path,
        f"column {name}",
        f"{texts.iloc[row]!r} in data row {table.index[row] + 1}",
        "a number",
        decimals(str(texts.iloc[row])) or "correct or remove that row",
      )
  return np.stack(columns, axis=1)


def _is_parquet(path: Path) -> bool:
  return recognise(path).startswith(b"PAR1")


def _parquet(path: Path) -> pa.parquet.ParquetFile:
  try:
    return pa.parquet.ParquetFile(path)
  except (pa.ArrowException, OSError, ValueError) as error:
    raise _damaged(path, error) from error


def _batches(
  file: pa.parquet.ParquetFile, path: Path, names: Sequence[str], rows: int
) -> Iterator[pa.RecordBatch]:
  try:
    for batch in file.iter_batches(rows, columns=list(names)):
      batch.validate(full=True)  # text may be none
      yield batch
  except (pa.ArrowException, OSError, ValueError) as error:
    raise _damaged(path, error) from error


def _plain(batch: pa.RecordBatch) -> pd.DataFrame:
  """Early releases store names as bytes."""
  columns = {}
  for name, column in zip(batch.schema.names, batch.columns, strict=True):
    if pa.types.is_dictionary(column.type):
      column = column.dictionary_decode()
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
      column = column.cast(pa.string())
    columns[name] = column.to_pandas()
  return pd.DataFrame(columns)


def _damaged(path: Path, error: Exception) -> BadInputError:
  found = f"not readable ({str(error).splitlines()[0]})"
  return BadInputError(path, "parquet", found, "a Parquet table", _AGAIN)
