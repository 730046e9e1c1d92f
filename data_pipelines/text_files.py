"""Opens text files as people really have them: gzipped or not, with a BOM, cut off, or no text.

Every reader goes through here, so that a download that went wrong is recognised once.
"""

from __future__ import annotations

import collections
import contextlib
import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from data_pipelines.problems import BadInputError

MAX_TEXT_BYTES = 4 * 1024**3
"""Count tables of a section stay well below this after unpacking; a gzip bomb need not."""

_PIECE = 1 << 24
_LONGEST = 10_000
"""Characters of a cell: a table of cells far longer than notes is no table."""
_LONGEST_NUMBER = 400
_MOST_COLUMNS = 2_000
"""Of tables of sections, spots and labels; counts are read elsewhere."""
_NAME = re.compile(r"[\w .()%/#+*:\[\]-]{0,80}")

GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"


def recognise(path: Path) -> bytes:
  """The first bytes of a file that may hold data.

  Raises:
    BadInputError: missing, not readable, empty, a Git LFS pointer, or a web page.
  """
  fix = "copy or download the file again"
  try:
    with path.open("rb") as stream:
      head = stream.read(512)
  except FileNotFoundError as error:
    found = "a broken link" if path.is_symlink() else "no such file"
    raise BadInputError(path, "file", found, "a file", "correct the path") from error
  except OSError as error:
    raise BadInputError(
      path, "file", f"not readable ({error.strerror})", "a readable file", "check its permissions"
    ) from error
  if not head:
    raise BadInputError(path, "file", "an empty file", "data", fix)
  if head.startswith(b"version https://git-lfs"):
    raise BadInputError(path, "file", "a Git LFS pointer", "the data it points to", "git lfs pull")
  if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
    raise BadInputError(path, "file", "a web page", "data", f"{fix}, perhaps after logging in")
  return head


@contextlib.contextmanager
def open_bytes(path: Path) -> Iterator[io.BufferedIOBase]:
  """A byte stream of the file's text, unpacked if it is gzip whatever its name says.

  Raises:
    BadInputError: as `recognise`, or the gzip stream is cut off or damaged.
  """
  opener = gzip.open if recognise(path).startswith(GZIP) else open
  with opener(path, "rb") as stream:
    try:
      yield stream
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
      raise BadInputError(
        path,
        "gzip",
        f"a stream that breaks off after {stream.tell():,} unpacked bytes ({error})",
        "a complete file",
        "copy or download the file again",
      ) from error


def read_bytes(path: Path) -> bytes:
  """The whole file, unpacked.

  Raises:
    BadInputError: as `open_bytes`, or more than `MAX_TEXT_BYTES`.
  """
  parts, size = [], 0
  with open_bytes(path) as stream:
    while part := stream.read(_PIECE):  # to ask for all at once would set room for it aside
      parts.append(part)
      size += len(part)
      if size > MAX_TEXT_BYTES:
        raise BadInputError(
          path, "size", "more text than memory", f"at most {MAX_TEXT_BYTES:,} bytes",
          "split the file",
        )  # fmt: skip
  return b"".join(parts)


def read_text(path: Path) -> str:
  """The whole file as text, without a byte-order mark and with plain line ends.

  Raises:
    BadInputError: as `read_bytes`, or the text is not UTF-8.
  """
  try:
    text = (head := read_bytes(path)).decode("utf-8-sig")
  except UnicodeDecodeError as error:
    if head.startswith(_ZIP):
      raise BadInputError(
        path, "file", "a workbook or another packed file", "a table of text",
        "save it as CSV or as tab-separated text",
      ) from error  # fmt: skip
    raise BadInputError(
      path,
      "text",
      f"byte {error.object[error.start]:#x} at {error.start}",
      "UTF-8 text",
      "save the file as UTF-8",
    ) from error
  return text.replace("\r\n", "\n").replace("\r", "\n")


def separator(first_line: str) -> str:
  """Tab if the line has one, else comma, else semicolon."""
  return next((s for s in "\t,;" if s in first_line), ",")


def cells_of(line: str, sep: str) -> list[str]:
  """The cells of a line; a quoted one may hold the separator."""
  return next(csv.reader([line], delimiter=sep), [])


def read_table(path: Path) -> pd.DataFrame:
  """A table with a header, every cell a string; an empty cell is "".

  Tab, comma and semicolon are told apart by the header. The name of an unnamed first column is "".

  Raises:
    BadInputError: no table can be read.
  """
  text = read_text(path)
  header, _, rest = text.lstrip("\n").partition("\n")
  sep = separator(header)
  try:
    names = [name.strip() for name in cells_of(header, sep)]
    first = cells_of(rest.partition("\n")[0], sep)
  except csv.Error as error:
    raise _too_long(path, str(error)) from error
  if len(names) > _MOST_COLUMNS:
    raise BadInputError(
      path, "columns", f"{len(names):,}", f"at most {_MOST_COLUMNS:,}", "leave out what is not used"
    )
  # R writes no name over the row names.
  if rest and len(first) == len(names) + 1 and names[0]:
    names.insert(0, "")
  if repeated := [name for name, number in collections.Counter(names).items() if number > 1]:
    raise BadInputError(
      path, "header", f"column {min(repeated)!r} twice", "each column once", "rename one"
    )
  try:
    table = pd.read_csv(
      io.StringIO(rest), sep=sep, header=None, dtype=str, keep_default_na=False, na_filter=False
    )
  except pd.errors.EmptyDataError:
    return pd.DataFrame({name: pd.Series(dtype=str) for name in names})
  except (pd.errors.ParserError, ValueError, IndexError) as error:
    raise BadInputError(
      path,
      "table",
      f"not readable ({str(error).strip()})",
      f"{len(names)} columns in every line",
      "mend that line",
    ) from error
  if table.shape[1] != len(names):
    raise BadInputError(
      path,
      "columns",
      f"{table.shape[1]} in the first line",
      f"{len(names)} as in the header",
      "separate every line as the header is",
    )
  if (longest := max((len(cell) for name in table for cell in table[name]), default=0)) > _LONGEST:
    raise _too_long(path, f"one of {longest:,} characters")
  table.columns = names
  return table


def _too_long(path: Path, found: str) -> BadInputError:
  return BadInputError(
    path, "cells", found, f"cells of at most {_LONGEST:,} characters", "check that it is a table"
  )


def names_shown(names: Iterable[object]) -> str:
  """Names of columns for a message; where they are none, the file may hold anything, and stays
  unquoted."""
  names = list(map(str, names))
  if len(names) > 1 and all(map(_NAME.fullmatch, names)):
    return f"only {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}"
  return f"{len(names):,} columns without names" if len(names) > 1 else "no table: one column"


def read_numbers(table: pd.DataFrame, columns: list[str], path: Path) -> pd.DataFrame:
  """The named columns as finite floats.

  Raises:
    BadInputError: a column is missing, or a cell is no number; it names the first such line.
  """
  if absent := [name for name in columns if name not in table]:
    raise BadInputError(
      path,
      f"column {absent[0]}",
      names_shown(table.columns),
      ", ".join(columns),
      "add the column, or rename the one that holds it",
    )
  numbers = pd.DataFrame({name: as_numbers(table[name].tolist()) for name in columns})
  bad = ~numbers.abs().lt(float("inf")).all(axis=1)
  if bad.any():
    row = int(bad.to_numpy().argmax())
    column = next(c for c in columns if not abs(numbers[c].iloc[row]) < float("inf"))
    raise BadInputError(
      path,
      f"column {column}",
      f"{table[column].iloc[row]!r} in data row {row + 1}",
      "a number",
      decimals(table[column].iloc[row]) or "correct or remove that row",
    )
  return numbers


def decimals(text: str) -> str:
  """What to do with a number that is written with a comma; empty for anything else."""
  if not re.fullmatch(r"\s*-?\d+,\d+\s*", text):
    return ""
  return f"write decimals with a point: {text.strip().replace(',', '.')}"


def as_numbers(texts: list[str]) -> np.ndarray:
  """Each text as a float; NaN where it is no number."""
  # pandas.to_numeric crashes the process on a long exponent such as 1E7018922192 (pandas 2.3.3).
  # An array of text is as wide as its longest cell.
  texts = [text if len(text) <= _LONGEST_NUMBER else "" for text in texts]
  try:
    return np.array(texts, dtype=str).astype(float)
  except ValueError:
    return np.array([_number(text) for text in texts])


def _number(text: str) -> float:
  try:
    return float(text)
  except ValueError:
    return float("nan")


def read_json(path: Path) -> dict:
  """A JSON object.

  Raises:
    BadInputError: no JSON, or not an object.
  """

  def refuse(constant: str):
    raise ValueError(f"{constant} is no JSON number")

  try:
    content = json.loads(read_text(path), parse_constant=refuse)
  except (ValueError, RecursionError) as error:
    if isinstance(error, BadInputError):
      raise
    raise BadInputError(
      path, "JSON", str(error), "a JSON object", "copy or write the file again"
    ) from error
  if not isinstance(content, dict):
    raise BadInputError(path, "JSON", type(content).__name__, "an object", "write the file again")
  return content
