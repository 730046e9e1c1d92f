"""Checks of an HDF5 file before anything in it is used.

HDF5 can point into other files, load filter plugins, and declare more data than it holds; a sparse
matrix with a wild index crashes the process. All of that is refused here, before it is read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np
import scipy.sparse
from jaxtyping import Int

from data_pipelines.problems import BadInputError
from data_pipelines.text_files import GZIP, recognise

MAX_BYTES = 64 * 1024**3
MAX_EXPANSION = 200
"""Declared bytes a byte of file; count matrices of Space Ranger stay below 20."""
_SMALL_BYTES = 64 * 1024**2  # below this, expansion does no harm
_MAX_OBJECTS = 100_000
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# deflate, shuffle, fletcher32, szip, nbit, scaleoffset, lzf: all inside h5py, none is a plugin.
_FILTERS = {1, 2, 3, 4, 5, 6, 32000}
_REWRITE = "write the matrix again from its source"
_DISTRUST = "ask the sender for a file written by Space Ranger or anndata itself"


@contextlib.contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
  """The file, opened for reading, after every object in it was looked at.

  Raises:
    BadInputError: not HDF5, cut off, or with content that must not be read.
  """
  with contextlib.closing(checked_file(path)) as file, _damage_named(path):
    yield file


def checked_file(path: Path, cache_bytes: int | None = None) -> h5py.File:
  """The same file, for whoever keeps it open while other things are done; close it.

  Args:
    cache_bytes: unpacked data that HDF5 keeps of each dataset.

  Raises:
    BadInputError: as `open_hdf5`.
  """
  again = "copy or download the file again"
  head = recognise(path)
  if head.startswith(GZIP):
    fix = f"gunzip {path.name}"
    raise BadInputError(path, "file", "a gzipped file", "HDF5 as it is (.h5, .h5ad)", fix)
  if not head.startswith(_SIGNATURE):
    raise BadInputError(path, "file", "not an HDF5 file", "HDF5 (.h5, .h5ad)", again)
  try:
    file = h5py.File(path, "r", rdcc_nbytes=cache_bytes)
  except OSError as error:
    reason = str(error).partition("(")[2].rstrip(")") or str(error)
    raise BadInputError(
      path, "file", f"damaged: {reason}", "a complete HDF5 file", again
    ) from error
  try:
    with _damage_named(path):
      _check_tree(file, path)
  except BaseException:
    file.close()
    raise
  return file


@contextlib.contextmanager
def _damage_named(path: Path) -> Iterator[None]:
  try:
    yield
  except BadInputError:
    raise
  except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
    reason = " ".join(str(error).split())
    raise BadInputError(
      path,
      "content",
      f"damaged ({reason})",
      "a complete HDF5 file",
      "copy or download the file again",
    ) from error


def csr_from_columns(
  *, data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, shape: tuple[int, int], path: Path
) -> scipy.sparse.csr_matrix:
  """The matrix `[column, row]` of a compressed-column matrix `shape` = (rows, columns).

  Raises:
    BadInputError: pointers or indices do not describe a matrix of that shape.
  """
  rows, columns = shape
  indptr = column_pointers(indptr, columns, (len(data), len(indices)), path)
  indices = _whole(indices, "indices", path)
  if len(indices) and (indices.min() < 0 or indices.max() >= rows):
    found = f"{indices.min()} to {indices.max()}"
    raise BadInputError(path, "indices", found, f"0 to {rows - 1}", _REWRITE)
  return scipy.sparse.csr_matrix((data, indices, indptr), shape=(columns, rows))


def column_pointers(
  indptr: np.ndarray, columns: int, sizes: Sequence[int], path: Path
) -> Int[np.ndarray, " pointer"]:
  """Where each column begins, and the last one ends.

  Args:
    sizes: numbers of values and of indices.

  Raises:
    BadInputError: they do not rise from 0 to the number of values.
  """
  values, indices = sizes
  indptr = _whole(indptr, "indptr", path)
  wrong = None
  if len(indptr) != columns + 1:
    wrong = "indptr", f"{len(indptr)} entries", f"{columns + 1}"
  elif values != indices:
    wrong = "indices", f"{indices} beside {values} values", "as many as values"
  elif indptr[0] != 0 or indptr[-1] != values or (np.diff(indptr) < 0).any():
    wrong = "indptr", "pointers out of order", f"rising from 0 to {values}"
  if wrong:
    raise BadInputError(path, *wrong, _REWRITE)
  return indptr


def _whole(values: np.ndarray, name: str, path: Path) -> np.ndarray:
  """As int64: R writes index arrays as floating point."""
  whole = np.asarray(values)
  if whole.dtype.kind == "f" and not (np.isfinite(whole) & (whole == np.floor(whole))).all():
    raise BadInputError(path, name, "fractions", "whole numbers", "write the matrix again")
  return whole.astype(np.int64)


def _check_tree(file: h5py.File, path: Path) -> None:
  limit = min(MAX_BYTES, max(_SMALL_BYTES, MAX_EXPANSION * path.stat().st_size))
  declared, seen, waiting = 0, set(), [("", file)]
  while waiting:
    name, group = waiting.pop()
    for key in group:
      where = f"{name}/{key}"
      link = group.get(key, getlink=True)
      if isinstance(link, h5py.ExternalLink):
        raise BadInputError(path, where, "a link into another file", "data in this file", _DISTRUST)
      child = group.get(key)
      if child is None:  # a soft link that leads nowhere
        continue
      address = h5py.h5o.get_info(child.id).addr
      if address in seen:
        continue
      seen.add(address)
      if len(seen) > _MAX_OBJECTS:
        raise BadInputError(path, where, "too many objects", f"{_MAX_OBJECTS:,}", _DISTRUST)
      if isinstance(child, h5py.Group):
        waiting.append((where, child))
      elif isinstance(child, h5py.Dataset):
        _check_dataset(child, where, path)
        declared += child.size * child.dtype.itemsize if child.shape is not None else 0
        if declared > limit:
          raise BadInputError(
            path, where, f"{declared:,} bytes declared so far", f"at most {limit:,}", _DISTRUST
          )


def _check_dataset(dataset: h5py.Dataset, where: str, path: Path) -> None:
  plist = dataset.id.get_create_plist()
  # The layout is asked first: whatever is stored elsewhere is named before any of it is opened.
  if plist.get_layout() == h5py.h5d.VIRTUAL:
    raise BadInputError(path, where, "a virtual dataset", "data in this file", _DISTRUST)
  if plist.get_external_count():
    raise BadInputError(path, where, "data kept in another file", "data in this file", _DISTRUST)
  codes = {plist.get_filter(n)[0] for n in range(plist.get_nfilters())}
  if codes - _FILTERS:
    found = f"compression filter {sorted(codes - _FILTERS)[0]}"
    raise BadInputError(
      path, where, found, "a filter built into HDF5", "repack with gzip (h5repack)"
    )
