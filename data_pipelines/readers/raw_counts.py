"""What every count matrix is checked for: raw integers, each spot once, one column per gene."""

from __future__ import annotations

import collections
import dataclasses
import re
from pathlib import Path

import numpy as np
import scipy.sparse

from data_pipelines.genes import guess_species, is_ensembl, species_mixed, species_of_each
from data_pipelines.problems import BadInputError
from data_pipelines.readers import molecules
from data_pipelines.readers.metadata import Entry
from data_pipelines.spreadsheet_names import restored

_CONTROL = re.compile(
  r"(DEPRECATED|NEGCONTROL|NEGPRB|BLANK|ANTISENSE|UNASSIGNED|INTERGENIC|SYSTEMCONTROL|NEGATIVE\d|FALSECODE)",
  re.I,
)
_GENOME_PREFIX = re.compile(r"(GRCh\d\d|GRCm\d\d|hg\d\d|mm\d\d)_+")
_SPECIES = {"grch": "human", "hg": "human", "grcm": "mouse", "mm": "mouse"}
_VERSION = re.compile(r"(ENS[A-Z]{0,4}G\d{11})\.\d+(_PAR_Y)?")

_ID = r"(?P<id>ENS[A-Z]{0,4}G\d{11}(?:\.\d+)?)"
_BETWEEN = r"[_|:;,/ (-]+"
_SYMBOL = r"(?P<symbol>[^()|]+?)"
_BOTH = re.compile(
  rf"{_ID}{_BETWEEN}(?!PAR_Y$){_SYMBOL}(?:\)|\|\w+)?"
)  # of a probe, its own name too
_BOTH_BACK = re.compile(rf"{_SYMBOL}{_BETWEEN}{_ID}\)?")


@dataclasses.dataclass(frozen=True)
class RawCounts:
  """A count matrix as a file holds it, or, after `cleaned`, as the project uses it.

  Attributes:
    path: file it came from, for messages.
    counts: `[spot, gene]`.
    spot_ids: one id per row.
    gene_ids: one id per column.
    gene_symbols: one symbol per column.
    feature_types: kind of each column, "" where the file does not say.
    dropped: reason -> how many were left out.
    notes: what a careful user should know.
  """

  path: Path
  counts: scipy.sparse.csr_matrix
  spot_ids: np.ndarray
  gene_ids: np.ndarray
  gene_symbols: np.ndarray
  feature_types: np.ndarray
  dropped: dict[str, int] = dataclasses.field(default_factory=dict)
  notes: tuple[str, ...] = ()

  def cleaned(self, said: Entry | None = None) -> RawCounts:
    """The same counts as int32, checked to be raw; genes only, each once, ids without version.

    Args:
      said: what the user says of the section: whose genes to keep, whether to round.

    Raises:
      BadInputError: values are not raw counts, spots repeat, species are mixed, no gene is left.
    """
    _refuse_repeated_spots(self)
    raw = _rounded(self) if said and said.round_counts else self
    raw = dataclasses.replace(raw, counts=whole_counts(raw))
    _refuse_scaled(raw, rounded=bool(said and said.round_counts))
    raw = _summed_duplicates(raw.named(said.genome if said else None))
    if not raw.counts.nnz:
      raise BadInputError(
        raw.path, "counts", f"all zero in {raw.counts.shape[0]} spots", "counts", "give raw counts"
      )
    return raw

  def named(self, genome: str | None = None) -> RawCounts:
    """Genes only, ids and symbols without version or genome; no value is looked at.

    Of two genomes or species, the genes of `genome` are kept, if one is named.

    Names that a spreadsheet turned into dates are what they were before, where that is known; the
    others are left out.

    Raises:
      BadInputError: no gene is left, or genes of two genomes.
    """
    raw = _genes_only(self)
    raw = _without_prefix_and_version(raw if genome is None else _of_genome(raw, genome))
    _refuse_two_species(raw)
    return _without_dates(raw)


FRACTIONS = "values that are not whole"
"""What a correction of counts leaves, such as SoupX's."""

SCALED = "log-normalised or scaled values"

_HIGHEST_LOG, _MANY_GENES = 20, 300
"""log1p of counts scaled to 10,000 stays below 10, scaled to 1,000,000 below 14. Of counts of spots
with so many genes one is larger however they were corrected: of 55 real sections 191 at least."""

MEND = (
  "give the raw UMI counts, before any normalisation",
  "give the raw UMI counts, before any normalisation; if only a correction as by SoupX left "
  "fractions, --round_counts rounds them",
)
"""What to do with counts that are not raw, and with those that have fractions."""


def _refuse_repeated_spots(raw: RawCounts) -> None:
  if twice := [i for i, n in collections.Counter(raw.spot_ids.tolist()).items() if n > 1]:
    raise BadInputError(
      raw.path,
      "spots",
      f"{len(twice)} names twice ({', '.join(twice[:3])})",
      "each spot once",
      "give each section by itself, or remove rows that are there twice",
    )


def not_raw(counts: scipy.sparse.csr_matrix) -> tuple[np.ndarray, str] | None:
  """Which stored values of a matrix are not raw counts, and what they are instead; None if all are.

  The first kind of fault that is found is named.
  """
  values = counts.data
  if values.dtype.kind == "f":
    wrong = ~np.isfinite(values)
    if wrong.any():
      return wrong, "values that are not numbers"
  if values.dtype.kind not in "ub" and (values < 0).any():
    return values < 0, "negative values"
  if values.dtype.kind == "f" and (values != np.floor(values)).any():
    transformed = molecules.are_transformed(counts)
    if not transformed and values.max() < _HIGHEST_LOG:
      transformed = transformed is None or np.median(counts.getnnz(axis=1)) >= _MANY_GENES
    return values != np.floor(values), SCALED if transformed else FRACTIONS
  if len(values) and values.max() >= 2**31:
    return values >= 2**31, "counts above 2^31"
  return None


def whole_counts(raw: RawCounts) -> scipy.sparse.csr_matrix:
  """The counts as int32, each entry once, without stored zeros.

  Raises:
    BadInputError: they are not raw; names the first spot and gene.
  """
  counts, values = raw.counts, raw.counts.data
  if problem := not_raw(counts):
    wrong, what = problem
    found = f"{int(wrong.sum()):,} {what} of {len(values):,}"
    raise _at(raw, wrong, found, MEND[what == FRACTIONS])
  whole = scipy.sparse.csr_matrix(
    (values.astype(np.int32), counts.indices, counts.indptr), shape=counts.shape
  )
  whole.sum_duplicates()
  whole.eliminate_zeros()
  return whole


def _refuse_scaled(raw: RawCounts, *, rounded: bool) -> None:
  if found := molecules.why_not(raw.counts, rounded=rounded):
    raise BadInputError(
      raw.path, "counts", found, "raw integer counts",
      "give the raw UMI counts, before any normalisation",
    )  # fmt: skip


def _at(raw: RawCounts, wrong: np.ndarray, found: str, fix: str) -> BadInputError:
  entry = int(wrong.argmax())
  row = int(np.searchsorted(raw.counts.indptr, entry, side="right")) - 1
  gene = raw.gene_ids[raw.counts.indices[entry]]
  where = f"first at spot {raw.spot_ids[row]}, gene {gene}: {raw.counts.data[entry]:g}"
  return BadInputError(raw.path, "counts", f"{found}, {where}", "raw integer counts", fix)


def _columns(raw: RawCounts, keep: np.ndarray, reason: str) -> RawCounts:
  if keep.all():
    return raw
  dropped = raw.dropped | {reason: raw.dropped.get(reason, 0) + int((~keep).sum())}
  return dataclasses.replace(
    raw,
    counts=raw.counts[:, np.flatnonzero(keep)],
    gene_ids=raw.gene_ids[keep],
    gene_symbols=raw.gene_symbols[keep],
    feature_types=raw.feature_types[keep],
    dropped=dropped,
  )


def _genes_only(raw: RawCounts) -> RawCounts:
  expressed = np.isin(raw.feature_types, ("Gene Expression", ""))
  if not expressed.any():
    kinds = ", ".join(sorted(set(raw.feature_types.tolist())))
    raise BadInputError(
      raw.path,
      "feature types",
      kinds or "no genes",
      "Gene Expression",
      "give a matrix with gene expression",
    )
  raw = _columns(raw, expressed, "features that are not genes")
  named = np.array([bool(i) for i in raw.gene_ids], bool)
  raw = _columns(raw, named, "genes without a name")
  control = [
    _CONTROL.match(i) is not None or _CONTROL.match(s) is not None
    for i, s in zip(raw.gene_ids, raw.gene_symbols, strict=True)
  ]
  return _columns(raw, ~np.array(control, bool), "control probes")


def _of_genome(raw: RawCounts, genome: str) -> RawCounts:
  """The genes of one genome by their prefixes, or of one species by their names; all of them where
  there is only one.

  Raises:
    BadInputError: none is of it.
  """
  found = [(m := _GENOME_PREFIX.match(i)) and m[1].lower() for i in raw.gene_ids.tolist()]
  if any(found) and genome.lower() not in found:
    found = [_SPECIES.get(of and of.rstrip("0123456789")) for of in found]
  elif genome.lower() not in found:
    found = species_of_each(raw.gene_ids, raw.gene_symbols)
  wanted = np.array([of == genome.lower() for of in found], bool)
  if not wanted.any():
    there = ", ".join(sorted({of for of in found if of})) or "none that is known"
    raise BadInputError(
      raw.path, "genes", f"none of {genome} ({there})", "genes of it", "correct --genome"
    )
  return _columns(raw, wanted, f"genes of other genomes than {genome}")


def _rounded(raw: RawCounts) -> RawCounts:
  """Whole numbers in place of the fractions of a correction; other values stay to be refused."""
  problem = not_raw(raw.counts)
  if problem is None or problem[1] != FRACTIONS:
    return raw
  counts = raw.counts.copy()
  counts.data = np.rint(counts.data)
  wrong = int(problem[0].sum())
  note = (
    f"{wrong:,} of {counts.nnz:,} counts had fractions and are rounded: in all "
    f"{counts.data.sum():,.0f} instead of {raw.counts.data.sum():,.1f}"
  )
  return dataclasses.replace(raw, counts=counts, notes=(*raw.notes, note))


def _without_prefix_and_version(raw: RawCounts) -> RawCounts:
  prefixes = {m[1] for i in raw.gene_ids if (m := _GENOME_PREFIX.match(i))}
  if len(prefixes) > 1:
    raise BadInputError(
      raw.path,
      "genes",
      f"two genomes ({', '.join(sorted(prefixes))})",
      "one species",
      f"keep one: --genome={min(prefixes)}",
    )
  ids, symbols = raw.gene_ids.tolist(), raw.gene_symbols.tolist()
  if prefixes:
    ids = [_GENOME_PREFIX.sub("", i, count=1) for i in ids]
    symbols = [_GENOME_PREFIX.sub("", s, count=1) for s in symbols]
  pairs = [_taken_apart(i, s) for i, s in zip(ids, symbols, strict=True)]
  ids, symbols = [_VERSION.sub(r"\1", i) for i, _ in pairs], [s for _, s in pairs]
  symbols = [_VERSION.sub(r"\1", s) or i for s, i in zip(symbols, ids, strict=True)]
  return dataclasses.replace(raw, gene_ids=np.array(ids), gene_symbols=np.array(symbols))


def _taken_apart(id_: str, symbol: str) -> tuple[str, str]:
  """(id, symbol) of a gene that is called by both in one name, such as ENSG00000141510_TP53."""
  m = _BOTH.fullmatch(id_) or _BOTH_BACK.fullmatch(id_)
  if m is None:
    return id_, symbol
  return m["id"], m["symbol"] if symbol in ("", id_) else symbol


def _refuse_two_species(raw: RawCounts) -> None:
  """A graft holds genes of both; without the prefixes of their genomes, names tell them apart."""
  species = species_mixed(raw.gene_ids, raw.gene_symbols)
  if species:
    told = " and ".join(f"{number:,} {name}" for name, number in species.items())
    raise BadInputError(
      raw.path,
      "genes",
      f"two species ({told} genes)",
      "one species",
      f"keep one: --genome={next(iter(species))}",
    )


def _without_dates(raw: RawCounts) -> RawCounts:
  ids, symbols = raw.gene_ids.astype(object), raw.gene_symbols.astype(object)
  names = restored(np.where(is_ensembl(ids), symbols, ids).tolist())
  if not names:
    return raw
  if guess_species(raw.gene_ids, raw.gene_symbols) == "mouse":
    names = {date: gene.capitalize() for date, gene in names.items()}
  lost = np.array([names.get(id_) == "" for id_ in ids.tolist()], bool)
  read = {date: gene for date, gene in names.items() if gene}
  # A gene with an Ensembl id is known by it, whatever became of its symbol.
  symbols = [names.get(s, s) or i for i, s in zip(ids.tolist(), symbols.tolist(), strict=True)]
  ids = [names.get(i, i) for i in ids.tolist()]
  notes = raw.notes
  if read:
    example = ", ".join(f"{date}: {gene}" for date, gene in list(read.items())[:3])
    notes += (f"{len(read)} gene names that a spreadsheet made dates are read back ({example})",)
  named = dataclasses.replace(
    raw, gene_ids=np.array(ids), gene_symbols=np.array(symbols), notes=notes
  )
  return _columns(named, ~lost, "genes whose names a spreadsheet made dates of several genes")


def _summed_duplicates(raw: RawCounts) -> RawCounts:
  _, first, column = np.unique(raw.gene_ids, return_index=True, return_inverse=True)
  if len(first) == len(raw.gene_ids):
    return raw
  order = np.sort(first)
  place = np.searchsorted(order, first)[column]
  onto = scipy.sparse.csr_matrix(
    (np.ones(len(place), np.int64), (np.arange(len(place)), place)), shape=(len(place), len(order))
  )
  summed = (raw.counts.astype(np.int64) @ onto).tocsr()
  if summed.nnz and summed.max() >= 2**31:
    raise BadInputError(raw.path, "counts", "a sum above 2^31", "raw counts", "give raw counts")
  reason = "genes listed twice (summed)"
  return dataclasses.replace(
    raw,
    counts=summed.astype(np.int32),
    gene_ids=raw.gene_ids[order],
    gene_symbols=raw.gene_symbols[order],
    feature_types=raw.feature_types[order],
    dropped=raw.dropped | {reason: len(raw.gene_ids) - len(order)},
  )
