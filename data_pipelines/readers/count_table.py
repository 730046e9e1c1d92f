"""Counts as a table of text, spots by genes: wide lines, read one at a time."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import scipy.sparse

from data_pipelines.problems import BadInputError
from data_pipelines.readers.raw_counts import RawCounts
from data_pipelines.text_files import as_numbers, open_bytes

_SPOT_NAME = re.compile(r"\d+(\.\d+)?x\d+(\.\d+)?")


def read_counts(path: Path) -> RawCounts:
  """A table of spots by genes (or genes by spots), tab-separated, gzipped or not.

  Raises:
    BadInputError: a row of another length, or a cell that is no number.
  """
  names, values, columns, pointers = [], [], [], [0]
  with open_bytes(path) as stream:
    header = _cells(stream.readline().removeprefix(b"\xef\xbb\xbf"))
    genes: list[str] = []
    for number, line in enumerate(stream, 2):
      if not line.strip():
        continue
      name, _, cells = line.partition(b"\t")
      if not names:
        # R writes no name over the row names; others write an empty one, or a word.
        width = cells.count(b"\t") + 1
        genes = header if header[0] and len(header) == width else header[1:]
      row = _numbers(cells, genes, path, number)
      entries = np.flatnonzero(row)
      names.append(name.decode("utf-8", "replace").strip().strip('"'))
      values.append(row[entries])
      columns.append(entries)
      pointers.append(pointers[-1] + len(entries))
  if not names or not genes:
    raise BadInputError(
      path, "counts", "no table", "a tab-separated table of spots by genes", "check the file"
    )
  counts = scipy.sparse.csr_matrix(
    (np.concatenate(values), np.concatenate(columns), pointers), shape=(len(names), len(genes))
  )
  if _SPOT_NAME.match(genes[0]) and not _SPOT_NAME.match(names[0]):
    counts, names, genes = counts.T.tocsr(), genes, names
  ids = np.array(genes)
  return RawCounts(path, counts, np.array(names), ids, ids, np.full(len(ids), ""))


def _cells(line: bytes) -> list[str]:
  text = line.decode("utf-8", "replace").rstrip("\r\n")
  return [cell.strip().strip('"') for cell in text.split("\t")]


def _numbers(cells: bytes, genes: list[str], path: Path, line: int) -> np.ndarray:
  try:
    with warnings.catch_warnings():
      warnings.simplefilter("error")
      # Five times as fast as a table reader: these lines have 15,000 columns.
      row = np.fromstring(cells, dtype=np.int64, sep="\t")
  except (DeprecationWarning, ValueError):
    row = np.zeros(0, np.int64)
  if len(row) == len(genes):
    return row
  texts = cells.decode("utf-8", "replace").rstrip("\r\n").split("\t")
  if len(texts) != len(genes):
    raise BadInputError(
      path,
      f"line {line}",
      f"{len(texts)} values",
      f"{len(genes)}, as genes in the header",
      "copy the file again, separated by tabs",
    )
  numbers = as_numbers(texts)
  if not np.isfinite(numbers).all():
    wrong = int((~np.isfinite(numbers)).argmax())
    raise BadInputError(
      path, f"line {line}, gene {genes[wrong]}", repr(texts[wrong]), "a count", "correct the cell"
    )
  return numbers
