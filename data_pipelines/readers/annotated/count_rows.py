"""Rows of a count matrix, in memory or in a file from which only those rows are read.

Reading rows is all that streaming needs; a matrix stored by column cannot do it and is read whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable

import h5py
import numpy as np
import scipy.sparse
from jaxtyping import Int

from data_pipelines.hdf5_safety import csr_from_columns
from data_pipelines.problems import BadInputError

_AGAIN = "copy or write the file again"


@runtime_checkable
class CountRows(Protocol):
  """A matrix of spots by genes.

  Attributes:
    shape: (spots, genes).
  """

  shape: tuple[int, int]

  def rows(self, rows: Int[np.ndarray, " row"]) -> scipy.sparse.csr_matrix:
    """These rows, which must rise; values as they are stored."""
    ...


class MemoryRows:
  """A dense or sparse matrix that is in memory, or anything else that NumPy can index by rows."""

  def __init__(self, matrix):
    self._matrix = matrix.tocsr() if scipy.sparse.issparse(matrix) else matrix
    self.shape = (int(matrix.shape[0]), int(matrix.shape[1]))

  def rows(self, rows: Int[np.ndarray, " row"]) -> scipy.sparse.csr_matrix:
    return scipy.sparse.csr_matrix(self._matrix[rows])


class DenseRows:
  """A dense matrix in an HDF5 file."""

  def __init__(self, dataset: h5py.Dataset, path: Path):
    if dataset.ndim != 2 or dataset.dtype.kind not in "iufb":
      found = f"{dataset.ndim} axes of {dataset.dtype}"
      raise BadInputError(path, dataset.name, found, "a matrix of numbers", _AGAIN)
    self._dataset, self._path, self.shape = dataset, path, tuple(map(int, dataset.shape))

  def rows(self, rows: Int[np.ndarray, " row"]) -> scipy.sparse.csr_matrix:
    return scipy.sparse.csr_matrix(read_part(self._dataset, rows, self._path))


class SparseRows:
  """A compressed-row matrix in an HDF5 file; only its row pointers are held in memory."""

  def __init__(self, group: h5py.Group, shape: tuple[int, int], path: Path):
    self._data, self._indices, self._path = group["data"], group["indices"], path
    self.shape = shape
    self._indptr = np.asarray(group["indptr"][()]).astype(np.int64)
    stored = self._data.shape[0]
    if (
      len(self._indptr) != shape[0] + 1
      or self._indptr[0] != 0
      or self._indptr[-1] != stored
      or (np.diff(self._indptr) < 0).any()
      or self._indices.shape[0] != stored
    ):
      raise BadInputError(
        path,
        f"{group.name}/indptr",
        "pointers that fit no matrix",
        f"{shape[0] + 1:,} that rise from 0 to {stored:,}",
        _AGAIN,
      )

  def rows(self, rows: Int[np.ndarray, " row"]) -> scipy.sparse.csr_matrix:
    data, indices = [], []
    for first, after in runs(rows):
      part = slice(int(self._indptr[first]), int(self._indptr[after]))
      data.append(read_part(self._data, part, self._path))
      indices.append(read_part(self._indices, part, self._path))
    lengths = np.diff(self._indptr)[rows]
    found = np.concatenate(indices).astype(np.int64) if indices else np.zeros(0, np.int64)
    values = np.concatenate(data) if data else np.zeros(0)
    if len(found) and not (found.min() >= 0 and found.max() < self.shape[1]):
      raise BadInputError(
        self._path,
        self._indices.name,
        f"{found.min()} to {found.max()}",
        f"0 to {self.shape[1] - 1}",
        _AGAIN,
      )
    return scipy.sparse.csr_matrix(
      (values, found, np.r_[0, np.cumsum(lengths)]), shape=(len(rows), self.shape[1])
    )


class ByGeneRows:
  """A compressed-column matrix in an HDF5 file, which comes into memory whole when it is used."""

  def __init__(self, group: h5py.Group, shape: tuple[int, int], path: Path):
    self._group, self._path, self.shape = group, path, shape
    self._whole: scipy.sparse.csr_matrix | None = None

  def rows(self, rows: Int[np.ndarray, " row"]) -> scipy.sparse.csr_matrix:
    if self._whole is None:
      parts = {
        name: read_part(self._group[name], slice(None), self._path)
        for name in ("data", "indices", "indptr")
      }
      self._whole = csr_from_columns(**parts, shape=self.shape, path=self._path).T.tocsr()
    return self._whole[rows]


def stored(item: h5py.Dataset | h5py.Group, path: Path) -> CountRows:
  """The matrix that an .h5ad file keeps here.

  Raises:
    BadInputError: it is none, or its parts do not fit each other.
  """
  if isinstance(item, h5py.Dataset):
    return DenseRows(item, path)
  kind = str(item.attrs.get("encoding-type", item.attrs.get("h5sparse_format", "")))
  shape = item.attrs.get("shape", item.attrs.get("h5sparse_shape"))
  parts = [isinstance(item.get(name), h5py.Dataset) for name in ("data", "indices", "indptr")]
  if shape is None or len(shape) != 2 or not all(parts):
    raise BadInputError(path, item.name, kind or "a group", "a dense or sparse matrix", _AGAIN)
  size = int(shape[0]), int(shape[1])
  return ByGeneRows(item, size, path) if "csc" in kind else SparseRows(item, size, path)


def runs(rows: Int[np.ndarray, " row"]) -> Iterator[tuple[int, int]]:
  """(first, one after the last) of every stretch of rows without a gap."""
  if not len(rows):
    return
  for part in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1):
    yield int(part[0]), int(part[-1]) + 1


def read_part(
  dataset: h5py.Dataset, part: slice | Int[np.ndarray, " row"], path: Path
) -> np.ndarray:
  """A part of a dataset.

  Raises:
    BadInputError: the file is damaged there.
  """
  try:
    return dataset[part]
  except (OSError, RuntimeError) as error:
    reason = " ".join(str(error).split())
    raise BadInputError(
      path, dataset.name, f"damaged ({reason})", "a whole file", _AGAIN
    ) from error
