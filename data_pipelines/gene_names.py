"""A table that translates gene names, for sections that name genes in different ways.

Some platforms write Ensembl ids alone, others symbols alone, older symbols have been renamed since,
and another species has names of its own. The table adds or renews symbols, or puts orthologs in the
place of genes; `alignment` then joins all kinds of names.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import itertools
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from data_pipelines.genes import GenePanel, guess_species, is_ensembl
from data_pipelines.problems import BadInputError, nearest
from data_pipelines.r_names import unspelled
from data_pipelines.section import Section
from data_pipelines.text_files import read_table

COLUMNS = ({"ensembl_id", "symbol"}, {"alias", "symbol"}, {"gene", "ortholog"})
"""Any of these makes a table; one with all columns does all."""

_HGNC = {"ensembl_gene_id": "ensembl_id"}
_HGNC_ALIASES = ("alias_symbol", "prev_symbol")
"""Columns of HGNC's complete set; of several aliases in one cell."""

_EVERYDAY = {
  "HER2": "ERBB2", "HER3": "ERBB3", "ER": "ESR1", "PR": "PGR", "KI67": "MKI67",
  "P53": "TP53", "P16": "CDKN2A", "P21": "CDKN1A", "CKIT": "KIT", "CMET": "MET", "CMYC": "MYC",
  "PD1": "PDCD1", "PDL1": "CD274", "PDL2": "PDCD1LG2", "TIM3": "HAVCR2", "CD3": "CD3E",
  "CD8": "CD8A", "CD16": "FCGR3A", "CD20": "MS4A1", "CD21": "CR2", "CD31": "PECAM1",
  "CD45": "PTPRC", "CD56": "NCAM1", "CD64": "FCGR1A", "CD117": "KIT", "CD138": "SDC1",
  "SMA": "ACTA2", "ECADHERIN": "CDH1", "NCADHERIN": "CDH2", "VIMENTIN": "VIM", "NEUN": "RBFOX3",
  "TAU": "MAPT", "TTF1": "NKX2-1", "PSA": "KLK3", "TNFA": "TNF", "IL8": "CXCL8",
}  # fmt: skip
"""What pathologists call proteins, signs left out -> symbol of the gene."""

_SEVERAL = re.compile(r"\s*(?:\||///)\s*")


@dataclasses.dataclass(frozen=True)
class GeneNames:
  """Symbols of Ensembl ids, approved symbols of older ones, and orthologs.

  Attributes:
    symbol_of: Ensembl id without version -> symbol.
    approved: alias -> the one symbol that it stands for; ambiguous aliases are left out.
    ortholog_of: id or symbol of a gene -> its one ortholog, where that has no other partner.
  """

  symbol_of: dict[str, str]
  approved: dict[str, str]
  ortholog_of: dict[str, str] = dataclasses.field(default_factory=dict)

  @classmethod
  def read(cls, path: Path) -> GeneNames:
    """A table with the columns of `COLUMNS`, or HGNC's complete set.

    Tab, comma or semicolon; gzipped or not. A cell of aliases or symbols may hold several, with "|"
    or "///" between.

    Raises:
      BadInputError: other columns, or no gene in it.
    """
    table = read_table(Path(path).expanduser())
    table.columns = [str(name).strip().lower() for name in table.columns]
    table = table.rename(columns={a: b for a, b in _HGNC.items() if b not in table})
    if not any(columns <= set(table.columns) for columns in COLUMNS):
      raise BadInputError(
        path,
        "columns",
        ", ".join(table.columns),
        "ensembl_id and symbol, alias and symbol, or gene and ortholog",
        "rename the columns",
      )
    symbol_of, approved = {}, {}
    if "symbol" in table:
      symbol_of = {id_.partition(".")[0]: s for id_, s in _pairs(table, "ensembl_id")[::-1]}
      names = [name for name in ("alias", *_HGNC_ALIASES) if name in table]
      approved = _unique([pair for name in names for pair in _pairs(table, name)])
      current = {symbol for cell in table["symbol"] for symbol in _several(cell)}
      approved = {alias: symbol for alias, symbol in approved.items() if alias not in current}
    ortholog_of = _orthologs(table) if {"gene", "ortholog"} <= set(table.columns) else {}
    if not (symbol_of or approved or ortholog_of):
      raise BadInputError(path, "genes", "none", "a gene in each row", "give a table with genes")
    return cls(symbol_of, approved, ortholog_of)

  def translated(self, ids: Iterable[str], symbols: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """(ids, symbols) of genes: the ortholog's where there is one, and symbols as `symbols`."""
    symbols = [self._before_r.get(symbol, symbol) for symbol in symbols]
    told = [
      (self.ortholog_of.get(i) or self.ortholog_of.get(s, ""), i, s)
      for i, s in zip(ids, symbols, strict=True)
    ]
    ids = [ortholog or id_ for ortholog, id_, _ in told]
    symbols = self.symbols(ids, [ortholog or symbol for ortholog, _, symbol in told])
    return np.array(ids, dtype=object), np.array(symbols, dtype=object)

  @functools.cached_property
  def _before_r(self) -> dict[str, str]:
    known = (self.symbol_of.values(), self.approved, self.approved.values(), self.ortholog_of)
    return unspelled(itertools.chain(*known))

  def symbols(self, ids: Iterable[str], symbols: Iterable[str]) -> list[str]:
    """The symbol of each gene: its own, renewed; where it has none, that of its Ensembl id."""
    found = []
    for id_, symbol in zip(ids, symbols, strict=True):
      if symbol in ("", id_):
        symbol = self.symbol_of.get(id_, symbol)
      found.append(self.approved.get(symbol, symbol))
    return found

  def on_section(self, section: Section) -> Section:
    """The section with these names; a gene that has only a symbol is named by the new one."""
    own, symbols = self.translated(section.gene_ids, section.gene_symbols)
    ids = np.where(is_ensembl(own), own, symbols)
    if len(set(ids.tolist())) < len(ids):  # two old names of one gene: leave both as they are
      ids = section.gene_ids
    changed = {} if not self.ortholog_of else {"species": guess_species(ids, symbols)}
    return dataclasses.replace(section, gene_ids=ids, gene_symbols=symbols, **changed)

  def on_panel(self, panel: GenePanel) -> GenePanel:
    """The panel with these symbols beside its ids, which stay: it is still the same panel."""
    return dataclasses.replace(panel, symbols=tuple(self.symbols(panel.ids, panel.symbols)))


def meant_by(name: str, known: Iterable[str]) -> str:
  """The known name that somebody who wrote `name` may have meant; empty if nothing is close.

  Written in another case, or what pathologists say for it, comes before what is spelled alike.
  """
  known = list(known)
  upper = {one.upper(): one for one in reversed(known)}
  bare = re.sub(r"[^A-Z0-9]", "", name.upper())
  return upper.get(name.upper()) or upper.get(_EVERYDAY.get(bare, "")) or nearest(name, known)


def _several(cell: str) -> list[str]:
  return [name for name in _SEVERAL.split(cell.strip().strip('"')) if name]


def _pairs(table: pd.DataFrame, column: str, to: str = "symbol") -> list[tuple[str, str]]:
  """(name, what it stands for) of every row; a cell may hold several of either."""
  if column not in table:
    return []
  return [
    (name, meant)
    for names, cell in zip(table[column], table[to], strict=True)
    for name in _several(names)
    for meant in _several(cell)
  ]


def _unique(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
  """The names that stand for one thing."""
  meanings = collections.defaultdict(set)
  for name, meant in pairs:
    meanings[name].add(meant)
  return {name: next(iter(meant)) for name, meant in meanings.items() if len(meant) == 1}


def _orthologs(table: pd.DataFrame) -> dict[str, str]:
  """Gene -> ortholog, where both are each other's only partner; ids and symbols side by side."""
  pairs = [
    (a.partition(".")[0] if a.startswith("ENS") else a, b)
    for a, b in _pairs(table, "gene", "ortholog")
  ]
  one_way = _unique(pairs)
  ensembl = dict(zip(one_way, is_ensembl(list(one_way)), strict=True))
  partners = collections.Counter((meant, ensembl[gene]) for gene, meant in one_way.items())
  return {gene: meant for gene, meant in one_way.items() if partners[meant, ensembl[gene]] == 1}
