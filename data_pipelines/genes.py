"""Names of genes, the ordered panel of a corpus, and how it is chosen from its sections."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from data_pipelines.files import write_text
from data_pipelines.problems import BadInputError
from data_pipelines.section import Section

_ENSEMBL = re.compile(r"(ENS[A-Z]{0,4}G)\d{11}")
_HEADER = "id\tsymbol"


_OF_SPECIES = {
  "ENSG": "human", "ENSMUSG": "mouse", "ENSRNOG": "rat", "ENSSSCG": "pig", "ENSDARG": "zebrafish",
  "ENSBTAG": "cow", "ENSOARG": "sheep", "ENSCAFG": "dog", "ENSOCUG": "rabbit", "ENSGALG": "chicken",
  "ENSMMUG": "macaque", "ENSMFAG": "crab-eating macaque", "ENSCJAG": "marmoset",
}  # fmt: skip
"""Beginning of an Ensembl gene id -> species."""

SPECIES = frozenset(_OF_SPECIES.values())

_SOME = 0.01
"""Share of genes that are called by their Ensembl ids for want of a symbol, at least."""

_RAT = re.compile(r"RGD\d{5,}|RT1-.+|AABR\d{6,}.*|LOC\d{5,}")
_MOUSE = re.compile(r"Gm\d{3,}|.+Rik|H2-.+|mt-[A-Z].+")
"""Symbols that only genes of one of the two have; both write the others alike."""


def guess_species(
  gene_ids: Sequence[str] | np.ndarray, gene_symbols: Sequence[str] | np.ndarray
) -> str | None:
  """Species by Ensembl ids, else by how symbols are written; None where it is unclear.

  Symbols alone tell human, mouse and rat. Where some genes have an Ensembl id for a symbol, as
  those without a name of their own, it tells.
  """
  for names, least in ((gene_ids, 0.5), (gene_symbols, _SOME)):
    found = _by_ensembl(names)
    if found and found.total() > max(least * len(names), 2):
      (species, number), *_ = found.most_common(1)
      return species if species in SPECIES and number > 0.5 * found.total() else None
  styles, words = _styles(gene_symbols)
  if words < 20:
    return None
  if styles["human"] > 0.8 * words:
    return "human"
  if styles["mouse"] > 0.7 * words:
    rat, mouse = (sum(map(bool, map(of.fullmatch, gene_symbols))) for of in (_RAT, _MOUSE))
    return "rat" if rat > mouse else "mouse"
  return None


def species_mixed(
  gene_ids: Sequence[str] | np.ndarray, gene_symbols: Sequence[str] | np.ndarray
) -> dict[str, int]:
  """Genes of each species, where a matrix holds genes of two; else empty.

  By Ensembl ids, of which 5 % are of the second; without any, by how symbols are capitalised, of
  which 20 % look like the second: some genes of mice are written like those of men.
  """
  found = dict(_by_ensembl(gene_ids).most_common(2))
  if found:
    return found if len(found) == 2 and min(found.values()) > 0.05 * sum(found.values()) else {}
  styles, words = _styles(gene_symbols)
  return styles if min(styles.values()) > max(0.2 * words, 20) else {}


def species_of_each(
  gene_ids: Sequence[str] | np.ndarray, gene_symbols: Sequence[str] | np.ndarray
) -> list[str | None]:
  """Species of each gene by its Ensembl id, else human or mouse by how its symbol is written."""
  by_id = [(m := _ENSEMBL.match(name)) and _OF_SPECIES.get(m[1]) for name in gene_ids]
  return [
    species
    or (
      "mouse"
      if symbol[:1].isupper() and symbol[1:].islower()
      else "human"
      if symbol.isupper()
      else None
    )
    for species, symbol in zip(by_id, gene_symbols, strict=True)
  ]


def _by_ensembl(names: Sequence[str] | np.ndarray) -> collections.Counter[str]:
  """Species, or the beginning of its ids where it has no name here -> its Ensembl ids."""
  beginnings = (m[1] for name in names if (m := _ENSEMBL.match(name)))
  return collections.Counter(_OF_SPECIES.get(begin, begin) for begin in beginnings)


def _styles(gene_symbols: Sequence[str] | np.ndarray) -> tuple[dict[str, int], int]:
  """Symbols written as those of each species are, and how many were looked at."""
  words = [s for s in gene_symbols if re.fullmatch(r"[A-Za-z]+\d*[A-Za-z]?\d*", s) and len(s) > 1]
  mouse = sum(word[0].isupper() and word[1:].islower() for word in words)
  return {"human": sum(word.isupper() for word in words), "mouse": mouse}, len(words)


@dataclasses.dataclass(frozen=True)
class GenePanel:
  """Ordered genes. A gene a section does not measure is missing there, not zero.

  Attributes:
    ids: one id per gene: the Ensembl id without version where known, else the approved symbol.
    symbols: one symbol per gene, same order.
  """

  ids: tuple[str, ...]
  symbols: tuple[str, ...]

  def __len__(self) -> int:
    return len(self.ids)

  @property
  def hash(self) -> str:
    """First 16 hex digits of the SHA-256 over ids in order: two panels are the same or are not."""
    return hashlib.sha256("\n".join(self.ids).encode()).hexdigest()[:16]

  def rows(self, symbols: Sequence[str]) -> dict[str, int]:
    """Panel row of each given symbol or id that the panel holds."""
    lookup = {name: row for row, name in enumerate(self.symbols)}
    lookup |= {name: row for row, name in enumerate(self.ids)}
    return {name: lookup[name] for name in symbols if name in lookup}

  def save(self, path: str | os.PathLike) -> None:
    """Writes a table of two columns, `id` and `symbol`, one gene a line in the panel's order."""
    lines = [f"{id_}\t{symbol}" for id_, symbol in zip(self.ids, self.symbols, strict=True)]
    write_text(Path(path), "\n".join([_HEADER, *lines]) + "\n")

  @classmethod
  def load(cls, path: str | os.PathLike) -> GenePanel:
    """The panel that `save` wrote.

    Raises:
      BadInputError: no such file, other columns, or an id listed twice.
    """
    path = Path(path)
    fix = "point to the panel.tsv of a prepared corpus"
    try:
      lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
      raise BadInputError(
        path, "gene panel", f"not readable ({error})", "a panel.tsv", fix
      ) from error
    if not lines or lines[0] != _HEADER:
      found = repr(lines[0][:60]) if lines else "an empty file"
      raise BadInputError(path, "header", found, "the columns id and symbol, tab-separated", fix)
    rows = [line.split("\t") for line in lines[1:]]
    bad = next((n for n, row in enumerate(rows, 2) if len(row) != 2 or not row[0]), None)
    if bad is not None:
      raise BadInputError(path, f"line {bad}", repr(lines[bad - 1]), "an id, a tab, a symbol", fix)
    panel = cls(tuple(row[0] for row in rows), tuple(row[1] for row in rows))
    if twice := [id_ for id_, n in collections.Counter(panel.ids).items() if n > 1]:
      raise BadInputError(path, "id", f"{twice[0]} twice", "each gene once", "remove one of them")
    return panel


def extended(old: GenePanel, chosen: GenePanel) -> GenePanel:
  """The old panel, as it is, and behind it the genes of `chosen` that it does not hold.

  A gene is the same as an old one if it has its Ensembl id, or its symbol where one of the two has
  no Ensembl id.
  """
  by_id, by_symbol = set(old.ids), dict(zip(old.symbols, is_ensembl(old.ids), strict=True))
  new = [
    (id_, symbol)
    for id_, symbol, ensembl in zip(chosen.ids, chosen.symbols, is_ensembl(chosen.ids), strict=True)
    if id_ not in by_id and (symbol not in by_symbol or (ensembl and by_symbol[symbol]))
  ]
  return GenePanel(
    (*old.ids, *(id_ for id_, _ in new)), (*old.symbols, *(symbol for _, symbol in new))
  )


@dataclasses.dataclass(frozen=True)
class GeneSummary:
  """What choosing a panel needs of one section; small enough to keep for every section.

  Attributes:
    section_id: name of the section.
    num_spots: spots of the section.
    gene_ids: as in `Section`.
    gene_symbols: as in `Section`.
    document_frequency: spots in which the gene has a count.
  """

  section_id: str
  num_spots: int
  gene_ids: np.ndarray
  gene_symbols: np.ndarray
  document_frequency: Int[np.ndarray, " gene"]


def is_ensembl(gene_ids: Sequence[str] | np.ndarray) -> Bool[np.ndarray, " gene"]:
  """True where an id is an Ensembl gene id of any species, without version."""
  return np.fromiter((_ENSEMBL.fullmatch(i) is not None for i in gene_ids), bool, len(gene_ids))


def summarise(section: Section) -> GeneSummary:
  """The section's genes and in how many of its spots each is detected."""
  return GeneSummary(
    section.section_id,
    section.num_spots,
    section.gene_ids,
    section.gene_symbols,
    np.asarray(section.counts.getnnz(axis=0), np.int64),
  )


def choose_panel(
  summaries: Sequence[GeneSummary],
  *,
  min_document_share: float = 0.005,
  max_genes: int | None = None,
) -> GenePanel:
  """The genes that enough of the training sections measure and enough of their spots express.

  The same genes come back in the same order whatever the order of the sections. Sections that name
  genes by symbol only are joined to the others through any section that has both.

  Args:
    summaries: of the training sections only.
    min_document_share: smallest share of spots, over the sections that measure a gene, in which it
      is detected. A gene must be measured in at least half of the sections.
    max_genes: keeps the genes detected in most spots, if there would be more.

  Raises:
    BadInputError: no gene passes.
  """
  by_symbol = _ids_by_symbol(summaries)
  detected, spots, sections = (collections.Counter() for _ in range(3))
  symbols: dict[str, str] = {}
  for summary in sorted(summaries, key=lambda s: s.section_id):
    here: dict[str, int] = {}
    ensembl = is_ensembl(summary.gene_ids)
    for id_, symbol, known, count in zip(
      summary.gene_ids.tolist(),
      summary.gene_symbols.tolist(),
      ensembl.tolist(),
      summary.document_frequency.tolist(),
      strict=True,
    ):
      name = id_ if known else by_symbol.get(symbol, symbol)
      here[name] = max(here.get(name, 0), count)
      if name not in symbols or symbols[name] == name:
        symbols[name] = symbol
    for name, count in here.items():
      detected[name] += count
      spots[name] += summary.num_spots
      sections[name] += 1
  chosen = [
    name
    for name in detected
    if 2 * sections[name] >= len(summaries)
    and detected[name] > 0
    and detected[name] >= min_document_share * spots[name]
  ]
  if not chosen:
    raise BadInputError(
      "gene panel",
      "genes",
      f"none of {len(detected):,} genes in enough spots and sections {_first_names(summaries)}",
      f"genes measured in half of the {len(summaries)} sections and detected in "
      f"{min_document_share:.1%} of their spots",
      "prepare sections of one species and one kind of gene name together",
    )
  if max_genes is not None and len(chosen) > max_genes:
    chosen.sort(key=lambda name: (-detected[name] / spots[name], name))
    chosen = chosen[:max_genes]
  chosen.sort()
  return GenePanel(tuple(chosen), tuple(symbols[name] for name in chosen))


def _ids_by_symbol(summaries: Sequence[GeneSummary]) -> dict[str, str]:
  """The Ensembl id of each symbol; of several, the one detected most often, then the first."""
  votes: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
  for summary in summaries:
    known = is_ensembl(summary.gene_ids) & (summary.gene_ids != summary.gene_symbols)
    for gene in np.flatnonzero(known):
      votes[str(summary.gene_symbols[gene])][str(summary.gene_ids[gene])] += int(
        summary.document_frequency[gene]
      )
  return {symbol: min(ids, key=lambda i: (-ids[i], i)) for symbol, ids in votes.items()}


def _first_names(summaries: Sequence[GeneSummary]) -> str:
  shown = [f"{s.section_id}: {', '.join(map(str, s.gene_ids[:3]))}" for s in summaries[:2]]
  return f"({'; '.join(shown)})"
