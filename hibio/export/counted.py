"""A section's counts over a model's panel, piece by piece: which spots have any, and the tables."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Int

from data_pipelines.genes import GenePanel, PanelMap, map_onto
from data_pipelines.preparation.statistics import SectionTable, streamed_table
from data_pipelines.problems import BadInputError
from data_pipelines.section import StreamedSection

_PIECE = 1024
"""Spots read at a time."""


class Counted:
  """Counts of one section over the panel. They are read as often as they are asked for.

  Attributes:
    table: what is known of the section as a whole; made of spots with counts, as in a corpus.
    has_counts: spots with at least one count over the panel.
    dropped: reason -> genes of the section or of the panel without a partner.
  """

  table: SectionTable
  has_counts: Bool[np.ndarray, " spot"]
  dropped: dict[str, int]

  def __init__(
    self,
    section: StreamedSection,
    panel: GenePanel,
    membership: Bool[np.ndarray, "pathway gene"],
  ):
    """Reads the section twice.

    Raises:
      BadInputError: hardly a gene in common with the panel, or no counts over it.
    """
    self._section = section
    self._map: PanelMap = map_onto(
      section.section_id, section.gene_ids, section.gene_symbols, panel
    )
    self.dropped = self._map.dropped
    self.has_counts = np.zeros(section.num_spots, bool)
    self.table = streamed_table(self._pieces, self._map.measured, membership)
    if not self.has_counts.any():
      raise BadInputError(
        section.section_id, "counts", f"none over the {len(panel):,} genes of the panel",
        "spots with counts", "give raw counts, or read the image alone (--layer=none)",
      )  # fmt: skip

  def rows(self, rows: Int[np.ndarray, " row"]) -> scipy.sparse.csr_matrix:
    """Counts over the panel of these spots, whose numbers must rise."""
    return self._map.counts(self._section.read_counts(rows))

  def _pieces(self) -> Iterator[scipy.sparse.csr_matrix]:
    for start in range(0, self._section.num_spots, _PIECE):
      rows = np.arange(start, min(start + _PIECE, self._section.num_spots))
      counts = self.rows(rows)
      self.has_counts[rows] = np.asarray(counts.sum(axis=1)).ravel() > 0
      yield counts[self.has_counts[rows]]
