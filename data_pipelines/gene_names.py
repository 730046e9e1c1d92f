"""A table that translates gene names, for sections that name genes in different ways.

Some platforms write Ensembl ids alone, others symbols alone, and older symbols have been renamed
since. The table only adds or renews symbols; `genes` then joins the two kinds of names by them.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from data_pipelines.genes import GenePanel, is_ensembl
from data_pipelines.problems import BadInputError
from data_pipelines.section import Section
from data_pipelines.text_files import read_table

COLUMNS = ({"ensembl_id", "symbol"}, {"alias", "symbol"})
"""Either pair makes a table; one with all three columns does both."""


@dataclasses.dataclass(frozen=True)
class GeneNames:
  """Symbols of Ensembl ids, and approved symbols of older ones.

  Attributes:
    symbol_of: Ensembl id without version -> symbol.
    approved: alias -> the one symbol that it stands for; ambiguous aliases are left out.
  """

  symbol_of: dict[str, str]
  approved: dict[str, str]

  @classmethod
  def read(cls, path: Path) -> GeneNames:
    """A table with the columns `ensembl_id` and `symbol`, or `alias` and `symbol`, or all three.

    Tab, comma or semicolon; gzipped or not.

    Raises:
      BadInputError: other columns, or no gene in it.
    """
    table = read_table(Path(path).expanduser())
    table.columns = [str(name).strip().lower() for name in table.columns]
    if not any(columns <= set(table.columns) for columns in COLUMNS):
      raise BadInputError(
        path,
        "columns",
        ", ".join(table.columns),
        "ensembl_id and symbol, or alias and symbol",
        "rename the columns",
      )
    symbols = [symbol.strip() for symbol in table["symbol"]]
    symbol_of, aliases = {}, collections.defaultdict(set)
    if "ensembl_id" in table:
      for id_, symbol in zip(table["ensembl_id"], symbols, strict=True):
        if symbol:
          symbol_of.setdefault(id_.strip().partition(".")[0], symbol)
    if "alias" in table:
      for alias, symbol in zip(table["alias"], symbols, strict=True):
        if alias.strip() and symbol:
          aliases[alias.strip()].add(symbol)
    current = set(symbols)
    approved = {
      alias: next(iter(meant))
      for alias, meant in aliases.items()
      if len(meant) == 1 and alias not in current
    }
    if not symbol_of and not approved:
      raise BadInputError(path, "genes", "none", "a gene in each row", "give a table with genes")
    return cls(symbol_of, approved)

  def symbols(self, ids: Iterable[str], symbols: Iterable[str]) -> list[str]:
    """The symbol of each gene: its own, renewed; where it has none, that of its Ensembl id."""
    found = []
    for id_, symbol in zip(ids, symbols, strict=True):
      if symbol in ("", id_):
        symbol = self.symbol_of.get(id_, symbol)
      found.append(self.approved.get(symbol, symbol))
    return found

  def on_section(self, section: Section) -> Section:
    """The section with these symbols; a gene that has only a symbol is named by the new one."""
    symbols = np.array(self.symbols(section.gene_ids, section.gene_symbols), dtype=object)
    ids = np.where(is_ensembl(section.gene_ids), section.gene_ids, symbols)
    if len(set(ids.tolist())) < len(ids):  # two old names of one gene: leave both as they are
      ids = section.gene_ids
    return dataclasses.replace(section, gene_ids=ids, gene_symbols=symbols)

  def on_panel(self, panel: GenePanel) -> GenePanel:
    """The panel with these symbols beside its ids, which stay: it is still the same panel."""
    return dataclasses.replace(panel, symbols=tuple(self.symbols(panel.ids, panel.symbols)))
