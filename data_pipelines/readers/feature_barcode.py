"""Space Ranger's feature-barcode matrix, as HDF5 or as Matrix Market files, into `RawCounts`."""

from __future__ import annotations

import dataclasses
import itertools
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import scipy.sparse

from data_pipelines.files import visible
from data_pipelines.hdf5_safety import column_pointers, csr_from_columns, open_hdf5
from data_pipelines.problems import BadInputError
from data_pipelines.readers.raw_counts import RawCounts
from data_pipelines.text_files import read_bytes, read_text

_REQUIRED = ("barcodes", "data", "indices", "indptr", "shape")
_PART = re.compile(r"(matrix\.mtx|barcodes\.tsv|(features|genes)\.tsv)(\.gz)?$")
_ENTRIES = 4_000_000
"""Of a piece: a hundred megabytes."""


def read_h5(path: Path) -> RawCounts:
  """The matrix of an HDF5 file of Space Ranger 1 to 4, or of Cell Ranger 2.

  Raises:
    BadInputError: the file is unsafe, damaged, or holds no such matrix.
  """
  (whole,) = _pieces_of_h5(path, None)
  return whole


def pieces(h5: Path | None, matrix_market: Path | MatrixFiles | None) -> Iterator[RawCounts]:
  """The same counts, some million entries at a time, barcodes in order; of text files all at once.

  Raises:
    BadInputError: as `read_h5` and `read_matrix_market`.
  """
  if h5 is None:
    yield read_matrix_market(matrix_market)
  else:
    yield from _pieces_of_h5(h5, _ENTRIES)


def _pieces_of_h5(path: Path, entries: int | None) -> Iterator[RawCounts]:
  """Pieces of at least one barcode and about so many entries; None: everything."""
  with open_hdf5(path) as file:
    group = _matrix_group(file, path)
    if absent := [name for name in _REQUIRED if not isinstance(group.get(name), h5py.Dataset)]:
      raise _no_matrix(path, f"{group.name} without {', '.join(absent)}")
    ids, symbols, kinds = _features(group, path)
    barcodes = group["barcodes"].size
    shape = np.asarray(group["shape"][()]).astype(np.int64).ravel().tolist()
    if shape != [len(ids), barcodes]:
      raise BadInputError(
        path,
        "shape",
        f"{shape}",
        f"[{len(ids)}, {barcodes}], features by barcodes",
        "write the matrix again from its source",
      )
    sizes = [group[name].size for name in ("data", "indices")]
    pointers = column_pointers(group["indptr"][()], barcodes, sizes, path)
    edges = [0, barcodes]
    if entries is not None:
      cuts = np.searchsorted(pointers, np.arange(entries, pointers[-1], entries))
      edges = np.unique([0, *cuts, barcodes]).tolist()
    for first, after in itertools.pairwise(edges):
      part = slice(pointers[first], pointers[after])
      counts = csr_from_columns(
        data=group["data"][part],
        indices=group["indices"][part],
        indptr=pointers[first : after + 1] - pointers[first],
        shape=(len(ids), after - first),
        path=path,
      )
      names = _strings(group, "barcodes", path, slice(first, after))
      yield RawCounts(path, counts, names, ids, symbols, kinds)


def _features(group: h5py.Group, path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Id, symbol and kind of each feature; kinds are "" where the file does not say."""
  features = group.get("features")
  if not isinstance(features, h5py.Group):
    ids, symbols = _strings(group, "genes", path), _strings(group, "gene_names", path)
    return ids, symbols, np.full(len(ids), "")
  ids, symbols = _strings(features, "id", path), _strings(features, "name", path)
  typed = "feature_type" in features
  kinds = _strings(features, "feature_type", path) if typed else np.full(len(ids), "")
  return ids, symbols, kinds


@dataclasses.dataclass(frozen=True)
class MatrixFiles:
  """Where `matrix.mtx`, `barcodes.tsv` and `features.tsv` lie, gzipped or not.

  Attributes:
    folder: that holds them.
    prefix: what their names begin with; of a folder of a matrix alone, anything.
  """

  folder: Path
  prefix: str = ""

  @classmethod
  def of(cls, place: Path | MatrixFiles | None) -> MatrixFiles | None:
    """Of a folder that holds one matrix."""
    return cls(place) if isinstance(place, Path) else place

  @property
  def name(self) -> str:
    return self.folder.name

  def files(self) -> tuple[Path, ...]:
    """Those that are there."""
    return tuple(p for p in visible(self.folder, f"{self.prefix}*") if _PART.search(p.name))

  def one(self, *names: str) -> Path:
    """The file of the first of these names that is there.

    Raises:
      BadInputError: none is there.
    """
    for name in names:
      for ending in (name, f"{name}.gz"):
        if (plain := self.folder / f"{self.prefix}{ending}").is_file():
          return plain
      if prefixed := [p for p in self.files() if p.name.removesuffix(".gz").endswith(name)]:
        return prefixed[0]
    there = ", ".join(sorted(p.name for p in self.folder.iterdir())[:5]) or "nothing"
    names = [f"{self.prefix}{name}" for name in names]
    raise BadInputError(
      self.folder, names[0], f"only {there}", " or ".join(f"{n}[.gz]" for n in names),
      "add the file",
    )  # fmt: skip


def read_matrix_market(place: Path | MatrixFiles) -> RawCounts:
  """The matrix of a folder with `matrix.mtx`, `barcodes.tsv` and `features.tsv`, gzipped or not.

  Raises:
    BadInputError: a file is missing or damaged, or the three do not fit each other.
  """
  files = MatrixFiles.of(place)
  path = files.one("matrix.mtx")
  barcodes = np.array([line.split("\t")[0] for line in _lines(files.one("barcodes.tsv"))])
  features = [line.split("\t") for line in _lines(files.one("features.tsv", "genes.tsv"))]
  ids = np.array([row[0] for row in features])
  symbols = np.array([row[1] if len(row) > 1 else row[0] for row in features])
  kinds = np.array([row[2] if len(row) > 2 else "" for row in features])
  content = read_bytes(path)
  counts = _parse(content, path, (len(ids), len(barcodes)))
  return RawCounts(path, counts, barcodes, ids, symbols, kinds)


def matrix_market_shape(place: Path | MatrixFiles) -> tuple[int, int]:
  """(features, barcodes) by the lists beside the matrix; the matrix itself is not read."""
  files = MatrixFiles.of(place)
  features = _lines(files.one("features.tsv", "genes.tsv"))
  return len(features), len(_lines(files.one("barcodes.tsv")))


def _parse(content: bytes, path: Path, shape: tuple[int, int]) -> scipy.sparse.csr_matrix:
  """`[barcode, feature]` of a Matrix Market text.

  Not by scipy.io.mmread, which crashes the process on some damaged files (SciPy 1.17).
  """
  again = "copy or download the file again"
  banner, _, rest = content.partition(b"\n")
  while rest.startswith(b"%"):
    rest = rest.partition(b"\n")[2]
  sizes, _, body = rest.partition(b"\n")
  kind = banner.lower().split()
  if kind[:3] != [b"%%matrixmarket", b"matrix", b"coordinate"] or kind[4:] != [b"general"]:
    found = repr(banner[:60].decode("utf-8", "replace"))
    raise BadInputError(
      path, "header", found, "'%%MatrixMarket matrix coordinate integer general'", again
    )
  numbers = _whole_numbers(sizes)
  if len(numbers) != 3:
    raise BadInputError(path, "header", repr(sizes[:60]), "rows, columns and entries", again)
  rows, columns, entries = numbers.tolist()
  if (rows, columns) not in (shape, shape[::-1]):
    raise BadInputError(
      path,
      "header",
      f"{rows} x {columns}",
      f"{shape[0]} features x {shape[1]} barcodes, as in the lists beside it",
      "take all three files from the same run",
    )
  triples = _whole_numbers(body) if kind[3] == b"integer" else _numbers(body)
  if len(triples) != 3 * entries:
    raise BadInputError(
      path,
      "entries",
      f"{len(triples) // 3:,} that can be read",
      f"{entries:,} lines of row, column and count",
      again,
    )
  row, column, value = triples.reshape(-1, 3).T
  if entries and not (
    row.min() >= 1 and row.max() <= rows and column.min() >= 1 and column.max() <= columns
  ):
    raise BadInputError(
      path,
      "entries",
      "a row or column outside the matrix",
      f"1 to {rows} and 1 to {columns}",
      again,
    )
  place = row.astype(np.int64) - 1, column.astype(np.int64) - 1
  matrix = scipy.sparse.coo_matrix((value, place), shape=(rows, columns))
  return (matrix.T if (rows, columns) == shape else matrix).tocsr()


def _whole_numbers(text: bytes) -> np.ndarray:
  return _numbers(text, np.int64)


def _numbers(text: bytes, kind: type = np.float64) -> np.ndarray:
  """The numbers of a text; nothing where one of them cannot be read."""
  try:
    with warnings.catch_warnings():
      warnings.simplefilter("error")
      return np.fromstring(text, dtype=kind, sep=" ")
  except (DeprecationWarning, ValueError):
    return np.zeros(0, kind)


def _matrix_group(file: h5py.File, path: Path) -> h5py.Group:
  if isinstance(file.get("matrix"), h5py.Group):
    return file["matrix"]
  genomes = [name for name in file if isinstance(file[name], h5py.Group) and "genes" in file[name]]
  if len(genomes) == 1:
    return file[genomes[0]]
  if genomes:
    raise BadInputError(
      path, "genomes", ", ".join(genomes), "one species", "split the matrix by genome"
    )
  raise _no_matrix(path, ", ".join(list(file)[:5]) or "nothing")


def _no_matrix(path: Path, found: str) -> BadInputError:
  return BadInputError(
    path,
    "matrix",
    found,
    "the group `matrix` of a feature-barcode matrix",
    "give the filtered_feature_bc_matrix.h5 that Space Ranger wrote",
  )


def _strings(group: h5py.Group, name: str, path: Path, part: slice | tuple[()] = ()) -> np.ndarray:
  dataset = group.get(name)
  if not isinstance(dataset, h5py.Dataset) or h5py.check_string_dtype(dataset.dtype) is None:
    raise _no_matrix(path, f"{group.name} without names in {name}")
  return np.array(
    [value.decode("utf-8", "replace") for value in dataset[part].ravel().tolist()], str
  )


def _lines(path: Path) -> list[str]:
  return [line.replace('"', "") for line in read_text(path).split("\n") if line]
