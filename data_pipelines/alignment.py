"""A section's own genes laid onto those of a panel."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence, Sized
from typing import NamedTuple

import numpy as np
import scipy.sparse
from jaxtyping import Bool

from data_pipelines.genes import GenePanel, guess_species, is_ensembl
from data_pipelines.problems import BadInputError
from data_pipelines.r_names import unspelled
from data_pipelines.section import Section

_MIN_OVERLAP = 0.1

_MOST, _HALF = 0.7, 0.5
"""Shares of the panel that a section should measure; below, it is said."""

TARGETED = 1000
"""Genes of a section below which it is a targeted panel, beside a model of more."""


OTHER_GENES = (
  "use a model or a panel of these genes (each preset of synthetic tissue has its own), or convert "
  "the gene names (--gene_names=TABLE of ensembl_id and symbol; of gene and ortholog for another "
  "species)"
)
"""What to do where hardly a gene is in common; to prepare with the panel once more cannot help."""


def are_alike(common: int, genes: Sized, others: Sized) -> bool:
  """Whether so many common genes are enough to call them genes of one kind, named alike."""
  return common >= max(1, _MIN_OVERLAP * min(len(genes), len(others)))


class Aligned(NamedTuple):
  """One section over the panel's genes: counts, which genes it measures, and what was left out.

  Notes say what a careful user should know of the genes.
  """

  counts: scipy.sparse.csr_matrix
  measured: Bool[np.ndarray, " gene"]
  dropped: dict[str, int]
  notes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class PanelMap:
  """Where the genes of a section lie on a panel; the same map serves its counts in any pieces.

  Attributes:
    onto: `[gene of the section, gene of the panel]`; 1 where they are the same gene.
    measured: genes of the panel that the section measures.
    dropped: reason -> genes without a partner.
    notes: what a careful user should know of the genes.
    name: of the section, for messages.
  """

  onto: scipy.sparse.csr_matrix
  measured: Bool[np.ndarray, " gene"]
  dropped: dict[str, int]
  notes: tuple[str, ...]
  name: str

  def counts(self, own: scipy.sparse.csr_matrix) -> scipy.sparse.csr_matrix:
    """Counts over the section's genes -> over the panel's; genes of one row are summed.

    Raises:
      BadInputError: a sum that no count can be.
    """
    counts = (own.astype(np.int64) @ self.onto).tocsr()
    if counts.nnz and counts.data.max() >= 2**31:
      raise BadInputError(
        self.name, "counts", "a sum above 2^31 over genes of one name", "raw counts",
        "give the raw UMI counts, before any normalisation",
      )  # fmt: skip
    counts = counts.astype(np.int32)
    counts.sort_indices()
    return counts


def align(section: Section, panel: GenePanel) -> Aligned:
  """The section's counts with the panel's genes as columns; genes of one row are summed.

  Raises:
    BadInputError: as `map_onto`.
  """
  found = map_onto(section.section_id, section.gene_ids, section.gene_symbols, panel)
  return Aligned(found.counts(section.counts), found.measured, found.dropped, found.notes)


def map_onto(
  name: str, gene_ids: np.ndarray, gene_symbols: np.ndarray, panel: GenePanel
) -> PanelMap:
  """Which genes of a section are which of the panel.

  A gene is found by its Ensembl id, or by its symbol where the section or the panel has no Ensembl
  id for it; at last by what its symbol was before R spelled it.

  Raises:
    BadInputError: section and panel have hardly a gene in common.
  """
  rows = panel_rows(gene_ids, gene_symbols, panel)
  found = np.flatnonzero(rows >= 0)
  smaller = min(len(rows), len(panel))
  if not are_alike(len(found), rows, panel):
    raise BadInputError(
      name,
      "genes",
      f"{len(found)} genes of the panel among {_examples(gene_ids)}"
      + _of_species(guess_species(gene_ids, gene_symbols)),
      f"at least {_MIN_OVERLAP:.0%} of {smaller:,}, named like {_examples(panel.ids)}"
      + _of_species(guess_species(panel.ids, panel.symbols)),
      OTHER_GENES,
    )
  onto = scipy.sparse.csr_matrix(
    (np.ones(len(found), np.int64), (found, rows[found])), shape=(len(rows), len(panel))
  )
  measured = np.zeros(len(panel), bool)
  measured[rows[found]] = True
  dropped = {
    "genes outside the panel": len(rows) - len(found),
    "panel genes not measured": int((~measured).sum()),
  }
  dropped = {reason: n for reason, n in dropped.items() if n}
  return PanelMap(onto, measured, dropped, _notes(measured, len(rows)), name)


def _notes(measured: Bool[np.ndarray, " gene"], num_genes: int) -> tuple[str, ...]:
  """What a section that measures few genes of a panel should be read with."""
  share, known = measured.mean(), int(measured.sum())
  notes = []
  if share < _MOST:
    word = "less than half" if share < _HALF else "few"
    notes.append(
      f"{word} of the panel's genes are measured ({known:,} of {len(measured):,}, {share:.0%}): "
      "check the names of the genes, and read results with care"
    )
  if num_genes < TARGETED <= len(measured):
    notes.append(
      f"a targeted panel of {num_genes:,} genes: the others count as not measured, and a spot has "
      f"at most {known // 4} keyword genes"
    )
  return tuple(notes)


def panel_rows(gene_ids: np.ndarray, gene_symbols: np.ndarray, panel: GenePanel) -> np.ndarray:
  """Panel row of each gene of the section; -1 where it has none."""
  by_id = {name: row for row, name in enumerate(panel.ids)}
  rows = np.fromiter((by_id.get(i, -1) for i in gene_ids), np.int64, len(gene_ids))
  # Two Ensembl ids can share a symbol: a symbol counts only where one side has nothing better.
  panel_ensembl, ensembl = is_ensembl(panel.ids), is_ensembl(gene_ids)
  taken = set(rows.tolist())
  any_row, symbol_row = {}, {}
  for row in range(len(panel) - 1, -1, -1):
    if row not in taken:
      any_row[panel.symbols[row]] = row
      if not panel_ensembl[row]:
        symbol_row[panel.symbols[row]] = row
  for gene in np.flatnonzero(rows < 0):
    table = symbol_row if ensembl[gene] else any_row
    rows[gene] = table.get(gene_symbols[gene], -1)
  before_r, found = unspelled(panel.symbols), set(rows.tolist())
  for gene in np.flatnonzero((rows < 0) & ~ensembl):
    row = any_row.get(before_r.get(gene_symbols[gene]), -1)
    rows[gene] = -1 if row in found else row
  return rows


def _examples(names: Sequence[str] | np.ndarray) -> str:
  return ", ".join(str(name) for name in list(names)[:10])


def _of_species(species: str | None) -> str:
  return f" ({species})" if species else ""
