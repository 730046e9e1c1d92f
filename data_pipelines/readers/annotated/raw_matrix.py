"""Which matrix of an AnnData holds the raw counts, and which genes its columns are."""

from __future__ import annotations

import collections
import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse
from jaxtyping import Bool, Int

from data_pipelines.genes import is_ensembl
from data_pipelines.problems import BadInputError
from data_pipelines.readers import molecules
from data_pipelines.readers.annotated.contents import Contents, layer_name
from data_pipelines.readers.annotated.count_rows import CountRows
from data_pipelines.readers.raw_counts import FRACTIONS, RawCounts, not_raw, whole_counts

USUAL = (layer_name("counts"), "X", "raw.X")
"""Where raw counts are looked for, in this order."""

ID_COLUMNS = ("gene_ids", "gene_id", "ensembl_id", "ensembl_ids", "ensembl", "feature_id", "id")
SYMBOL_COLUMNS = (
  "feature_name", "gene_name", "gene_names", "gene_symbol", "gene_symbols", "symbol", "symbols",
  "SYMBOL", "name",
)  # fmt: skip
KIND_COLUMN = "feature_types"

_PIECE = 1024
"""Spots read at a time."""

_SAMPLE = 200
"""Spots that are looked at to choose a matrix; every value is checked when it is read."""


@dataclasses.dataclass(frozen=True)
class RawMatrix:
  """Raw counts of genes, read a few spots at a time.

  Attributes:
    where: "layers['counts']", "X" or "raw.X".
    gene_ids: of its columns that are genes; Ensembl ids without version where there are any.
    gene_symbols: of the same columns.
    dropped: reason -> columns left out.
    notes: what a careful user should know of the names of its genes.
    rounded: fractions that a correction left are rounded.
  """

  where: str
  gene_ids: np.ndarray
  gene_symbols: np.ndarray
  dropped: dict[str, int]
  notes: tuple[str, ...]
  rounded: bool
  _matrix: CountRows
  _columns: np.ndarray
  _named: RawCounts
  _spot_ids: pd.Index

  def stored(self, rows: Int[np.ndarray, " row"]) -> scipy.sparse.csr_matrix:
    """Values of these spots, whose numbers must rise, as they are stored."""
    counts = self._matrix.rows(rows)
    return counts if len(self._columns) == self._matrix.shape[1] else counts[:, self._columns]

  def rows(self, rows: Int[np.ndarray, " row"]) -> scipy.sparse.csr_matrix:
    """Counts of these spots, whose numbers must rise, as int32.

    Raises:
      BadInputError: a value is no raw count.
    """
    counts = self._matrix.rows(rows)
    if self.rounded:
      counts.data = np.rint(counts.data)
    if not_raw(counts):
      raise BadInputError(
        self._named.path, "counts",
        _told(self.where, self._matrix, self._named.gene_ids, self._spot_ids),
        "raw integer counts", "give the raw UMI counts, before any normalisation",
      )  # fmt: skip
    spot_ids = self._spot_ids[rows].to_numpy(str)
    whole = whole_counts(dataclasses.replace(self._named, counts=counts, spot_ids=spot_ids))
    return whole if len(self._columns) == self._matrix.shape[1] else whole[:, self._columns]

  def measured(self, of_var: Bool[np.ndarray, " gene"] | None) -> slice | Int[np.ndarray, " own"]:
    """Which of its genes a section measures, if the AnnData says so of its table of genes."""
    if of_var is None or self.where.startswith("raw.X") or of_var.all():
      return slice(None)
    return np.flatnonzero(of_var[self._columns])


def find(
  contents: Contents,
  layer: str | None = None,
  *,
  genome: str | None = None,
  rounded: bool = False,
) -> RawMatrix:
  """The first matrix of `USUAL` that holds raw counts, or the one that is asked for.

  Args:
    layer: "X", "raw.X", or the name of a layer.
    genome: whose genes are kept, where there are those of two.
    rounded: whether one that only has fractions is rounded.

  Raises:
    BadInputError: none of them is raw; says what is in each.
  """
  if layer is None:
    wanted = USUAL
  else:
    wanted = (layer if layer in (*USUAL, *contents.matrices) else layer_name(layer),)
  there = [where for where in wanted if where in contents.matrices]
  if not there:
    raise BadInputError(
      contents.path,
      "counts",
      f"matrices {', '.join(contents.matrices) or 'none'}",
      " or ".join(wanted),
      "name the layer of raw counts with --layer",
    )
  seen, has_fractions = [], False
  for where in there:
    sample = _sample(contents.matrices[where][0])
    fractions = _has_fractions(sample)
    if is_rounded := rounded and fractions:
      sample.data = np.rint(sample.data)
    if not_raw(sample) is None and molecules.why_not(sample, rounded=is_rounded) is None:
      return _named_matrix(contents, where, genome, rounded=is_rounded)
    has_fractions |= fractions
    seen.append(where)
  others = [where for where in contents.matrices if where not in seen]
  more = f" (there is also {', '.join(others)})" if others else ""
  raise BadInputError(
    contents.path,
    "counts",
    "; ".join(_told_of(contents, where) for where in seen),
    "raw integer counts",
    f"name the layer of raw counts with --layer{more}, or store them in layers['counts']; "
    "--layer=none reads the image alone"
    + ("; --round_counts rounds what a correction left" if has_fractions else ""),
  )


def _has_fractions(sample: scipy.sparse.csr_matrix) -> bool:
  problem = not_raw(sample)
  return problem is not None and problem[1] == FRACTIONS


def _sample(matrix: CountRows) -> scipy.sparse.csr_matrix:
  number = min(_SAMPLE, matrix.shape[0])
  rows = np.unique(np.linspace(0, matrix.shape[0] - 1, number).astype(np.int64)) if number else []
  sample = scipy.sparse.csr_matrix(matrix.rows(np.asarray(rows, np.int64)), copy=True)
  sample.eliminate_zeros()
  return sample


def _told_of(contents: Contents, where: str) -> str:
  matrix, table = contents.matrices[where]
  gene_ids, _ = names_of(contents.genes[table])
  return _told(where, matrix, gene_ids, contents.obs.index)


def _told(where: str, matrix: CountRows, gene_ids: np.ndarray, spot_ids: pd.Index) -> str:
  """What a matrix holds instead of raw counts: of which kind, how many, and the first of them."""
  kinds, first = collections.Counter(), ""
  for start in range(0, matrix.shape[0], _PIECE):
    counts = matrix.rows(np.arange(start, min(start + _PIECE, matrix.shape[0])))
    if (problem := not_raw(counts)) is None:
      continue
    wrong, kind = problem
    kinds[kind] += int(wrong.sum())
    if not first:
      entry = int(wrong.argmax())
      row = start + int(np.searchsorted(counts.indptr, entry, side="right")) - 1
      gene = gene_ids[counts.indices[entry]]
      first = f"first at spot {spot_ids[row]}, gene {gene}: {counts.data[entry]:g}"
  if not kinds:
    return f"{molecules.why_not(_sample(matrix))} in {where}"
  told = ", ".join(f"{number:,} {kind}" for kind, number in kinds.items())
  return f"{told} in {where} ({first})"


def _named_matrix(
  contents: Contents, where: str, genome: str | None, *, rounded: bool
) -> RawMatrix:
  matrix, table = contents.matrices[where]
  var = contents.genes[table]
  columns, genes = genes_of(var, contents.path, genome)
  ids, symbols = names_of(var)
  return RawMatrix(
    where=where,
    gene_ids=genes.gene_ids,
    gene_symbols=genes.gene_symbols,
    dropped=genes.dropped,
    notes=genes.notes,
    rounded=rounded,
    _matrix=matrix,
    _columns=columns,
    _named=dataclasses.replace(genes, gene_ids=ids, gene_symbols=symbols),
    _spot_ids=contents.obs.index,
  )


def genes_of(
  var: pd.DataFrame, path: Path, genome: str | None = None
) -> tuple[Int[np.ndarray, " gene"], RawCounts]:
  """Which rows of a table are genes, and their names, cleaned as those of every count matrix.

  Raises:
    BadInputError: none is, or they are of two genomes.
  """
  ids, symbols = names_of(var)
  # A matrix of one row that numbers the columns: what is left of it says which ones are genes.
  numbers = scipy.sparse.csr_matrix(np.arange(1, len(ids) + 1)[None])
  raw = RawCounts(path, numbers, np.array(["numbers"]), ids, symbols, _kinds(var))
  genes = raw.named(genome)
  return genes.counts.toarray()[0].astype(np.int64) - 1, genes


def names_of(var: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
  """(ids, symbols) of the genes of a table; Ensembl ids where any column or the index has them.

  A gene for which only one of the two is known has it twice.
  """
  index = var.index.to_numpy(str)
  ids, symbols = index, index
  for name in ID_COLUMNS:
    if name in var and _share_ensembl(column := _texts(var[name])) > _share_ensembl(ids):
      ids = column
  for name in SYMBOL_COLUMNS:
    if name in var and _share_ensembl(column := _texts(var[name])) < 0.5:
      symbols = column
      break
  else:
    if _share_ensembl(index) >= 0.5:
      symbols = np.full(len(index), "")
  ids = np.where(ids == "", np.where(symbols == "", index, symbols), ids)
  return ids, np.where(symbols == "", ids, symbols)


def _texts(column: pd.Series) -> np.ndarray:
  """As strings; "" for missing values."""
  return column.astype(object).where(column.notna(), "").to_numpy().astype(str)


def _share_ensembl(names: np.ndarray) -> float:
  bare = [str(name).partition(".")[0] for name in names]
  return float(is_ensembl(bare).mean()) if bare else 0.0


def _kinds(var: pd.DataFrame) -> np.ndarray:
  if KIND_COLUMN not in var:
    return np.full(len(var), "")
  return _texts(var[KIND_COLUMN])
