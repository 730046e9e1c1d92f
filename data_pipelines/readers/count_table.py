"""Counts as a table of text, spots by genes: wide lines, read one at a time."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import scipy.sparse

from data_pipelines.problems import BadInputError
from data_pipelines.readers.raw_counts import RawCounts
from data_pipelines.text_files import as_numbers, open_bytes, separator

_ENTRIES = 4_000_000
_SPOT_NAME = re.compile(r"\d+(\.\d+)?x\d+(\.\d+)?")


def read_counts(path: Path) -> RawCounts:
  """A table of spots by genes (or genes by spots), separated by tabs, commas or semicolons.

  Raises:
    BadInputError: a row of another length, or a cell that is no number.
  """
  parts = list(pieces(path, entries=None))
  if not parts:
    raise BadInputError(path, "counts", "no table", "a table of spots by genes", "check the file")
  (raw,) = parts
  return (
    transposed(raw)
    if _SPOT_NAME.match(raw.gene_ids[0]) and not _SPOT_NAME.match(raw.spot_ids[0])
    else raw
  )


def transposed(raw: RawCounts) -> RawCounts:
  """The same table with genes as columns, where it was read with spots as columns."""
  ids = raw.spot_ids
  return RawCounts(raw.path, raw.counts.T.tocsr(), raw.gene_ids, ids, ids, np.full(len(ids), ""))


def pieces(
  path: Path, names: int = 1, entries: int | None = _ENTRIES, join: str = "_"
) -> Iterator[RawCounts]:
  """The same table, rows in order, some million entries at a time.

  Args:
    names: first columns, which name a row together.
    entries: of a piece; None: all at once.
    join: what stands between the parts of a name.

  Raises:
    BadInputError: as `read_counts`.
  """
  with open_bytes(path) as stream:
    first = stream.readline().removeprefix(b"\xef\xbb\xbf")
    sep = separator(first.decode("utf-8", "replace"))
    header, genes, rows, stored = _cells(first, sep), [], [], 0
    for number, line in enumerate(stream, 2):
      if not line.strip():
        continue
      *name, cells = line.split(sep.encode(), names)
      if not genes:
        # R writes no name over the row names; others write an empty one, or a word.
        width = cells.count(sep.encode()) + 1
        genes = header if header[0] and len(header) == width else header[names:]
      row = _numbers(cells, genes, sep, path, number)
      entry = np.flatnonzero(row)
      rows.append((join.join(_text(part) for part in name), entry, row[entry]))
      stored += len(entry)
      if entries is not None and stored >= entries:
        yield _of_rows(rows, genes, path)
        rows, stored = [], 0
    if rows and genes:
      yield _of_rows(rows, genes, path)


def _of_rows(
  rows: list[tuple[str, np.ndarray, np.ndarray]], genes: list[str], path: Path
) -> RawCounts:
  spots, columns, values = zip(*rows, strict=True)
  pointers = np.r_[0, np.cumsum([len(entry) for entry in columns])]
  counts = scipy.sparse.csr_matrix(
    (np.concatenate(values), np.concatenate(columns), pointers), shape=(len(spots), len(genes))
  )
  ids = np.array(genes)
  return RawCounts(path, counts, np.array(spots), ids, ids, np.full(len(ids), ""))


def _cells(line: bytes, sep: str) -> list[str]:
  return [_text(cell) for cell in line.rstrip(b"\r\n").split(sep.encode())]


def _text(cell: bytes) -> str:
  return cell.decode("utf-8", "replace").strip().strip('"')


def _numbers(cells: bytes, genes: list[str], sep: str, path: Path, line: int) -> np.ndarray:
  # After a comma at the end of a line NumPy makes up a number.
  whole = not cells.rstrip(b"\r\n ").endswith(sep.encode())
  for kind in (np.int64, np.float64) if whole else ():
    try:
      with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Five times as fast as a table reader: these lines have 15,000 columns.
        row = np.fromstring(cells, dtype=kind, sep=sep)
    except (DeprecationWarning, ValueError):
      continue
    if len(row) == len(genes) and np.isfinite(row).all():
      return row
  texts = [_text(cell) for cell in cells.rstrip(b"\r\n").split(sep.encode())]
  if len(texts) != len(genes):
    raise BadInputError(
      path,
      f"line {line}",
      f"{len(texts)} values",
      f"{len(genes)}, as genes in the header",
      "copy the file again, every line separated as the header is",
    )
  numbers = as_numbers(texts)
  if not np.isfinite(numbers).all():
    wrong = int((~np.isfinite(numbers)).argmax())
    raise BadInputError(
      path, f"line {line}, gene {genes[wrong]}", repr(texts[wrong]), "a count", "correct the cell"
    )
  return numbers
