"""Genes that a model has never seen, made known to it by those that are expressed with them.

A gene is a vector in the model's table. That of a new gene is the mean of the vectors of the genes
it correlates with most over the spots at hand; how common and how patterned it is, they say too.
Nothing that the model knows changes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float

from data_pipelines.alignment import map_onto, panel_rows
from data_pipelines.console import say
from data_pipelines.genes import GenePanel, GeneSummary, choose_panel, extended
from data_pipelines.loading.coexpression import most_correlated
from data_pipelines.preparation.spatial_genes import over_sections, spatial_excess
from data_pipelines.preparation.statistics import (
  SectionTable,
  corpus_statistics,
  section_table,
  standardised,
)
from data_pipelines.problems import BadInputError
from data_pipelines.section import StreamedSection
from hibio.export.reader import Reader
from hibio.model import HiBio
from hibio.parameters import with_new_genes

_PIECE = 1024
"""Spots read at a time."""


@dataclasses.dataclass(frozen=True)
class _Seen:
  """One section over the old genes and the new."""

  counts: scipy.sparse.csr_matrix
  table: SectionTable
  excess: Float[np.ndarray, " gene"]


Vectors = Callable[[Any, Sequence[_Seen], GenePanel], Any]
"""(parameters, sections, panel with new genes) -> parameters with rows for the new genes."""


def made_known(
  reader: Reader, sections: Sequence[StreamedSection], vectors: Vectors | None = None
) -> Reader:
  """A reader that also reads the genes of these sections which its model has never seen.

  Genes that half of the sections measure and enough of their spots express; at most as many as the
  model knows. The counts of all sections are in memory at once.

  Args:
    vectors: how the parameters get their new rows; by default `by_coexpression`.
  """
  counted = [one for one in sections if one.read_counts is not None]
  panel = _panel(reader.panel, counted)
  number = len(reader.panel)
  if len(panel) == number:
    return reader
  say(
    f"embed: {len(panel) - number:,} genes that the model has never seen: "
    "looking for those that are expressed with them"
  )
  seen = [_seen(one, panel) for one in counted]
  config = reader.model.config
  if config.reference_genes is None:
    config = dataclasses.replace(config, reference_genes=number)
  return dataclasses.replace(
    reader,
    model=HiBio(config, len(panel)),
    params=(vectors or by_coexpression)(reader.params, seen, panel),
    panel=panel,
    tables=_tables(reader.tables, seen),
    shape=dataclasses.replace(reader.shape, num_genes=len(panel)),
  )


def by_coexpression(params: Any, seen: Sequence[_Seen], panel: GenePanel) -> Any:
  """The mean of the vectors of the old genes that a new one correlates with most."""
  num_old = len(params["gene_bias"])
  return with_new_genes(params, *most_correlated(_blocks(seen), num_old, len(panel)))


def _blocks(seen: Sequence[_Seen]) -> Iterator[Float[np.ndarray, "spot gene"]]:
  for one in seen:
    yield from standardised(one.counts, one.table.measured, one.table.log_mean, one.table.log_std)


def _panel(old: GenePanel, sections: Sequence[StreamedSection]) -> GenePanel:
  summaries = [
    _summary(one, panel_rows(one.gene_ids, one.gene_symbols, old) < 0) for one in sections
  ]
  if not any(len(one.gene_ids) for one in summaries):
    return old
  try:
    return extended(old, choose_panel(summaries, max_genes=len(old)))
  except BadInputError:  # none is expressed in enough spots: there is nothing to learn
    return old


def _summary(section: StreamedSection, new: Bool[np.ndarray, " gene"]) -> GeneSummary:
  detected = np.zeros(len(new), np.int64)
  for counts in _pieces(section):
    detected += counts.getnnz(axis=0)
  return GeneSummary(
    section.section_id,
    section.num_spots,
    section.gene_ids[new],
    section.gene_symbols[new],
    detected[new],
  )


def _pieces(section: StreamedSection) -> Iterator[scipy.sparse.csr_matrix]:
  for start in range(0, section.num_spots, _PIECE):
    yield section.read_counts(np.arange(start, min(start + _PIECE, section.num_spots)))


def _seen(section: StreamedSection, panel: GenePanel) -> _Seen:
  onto = map_onto(section.section_id, section.gene_ids, section.gene_symbols, panel)
  counts = scipy.sparse.vstack([onto.counts(piece) for piece in _pieces(section)], format="csr")
  some = np.flatnonzero(np.asarray(counts.sum(axis=1)).ravel())
  counts = counts[some]
  table = section_table(counts, onto.measured, np.zeros((0, len(panel)), bool))
  return _Seen(counts, table, spatial_excess(counts, section.positions_um[some]))


def _tables(old, seen: Sequence[_Seen]):
  """The corpus' tables; of the new genes these sections tell."""
  every = np.ones(len(seen), bool)
  own = corpus_statistics([one.table for one in seen], every)
  own["corpus_spatial"] = over_sections(
    np.stack([one.excess for one in seen]), own["measured"], every
  )
  number = len(old.document_share)
  added = own["measured"].shape[1] - number
  return dataclasses.replace(
    old,
    membership=np.pad(old.membership, ((0, 0), (0, added))),
    **{
      name: np.concatenate([getattr(old, name), own[f"corpus_{name}"][number:]])
      for name in ("document_share", "mean_fraction", "spatial")
    },
  )
