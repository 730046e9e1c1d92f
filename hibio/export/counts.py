"""The counts of a new section over a model's panel, and what they say without the model's towers.

Keyword scores and pathway activity are what training compares embeddings with. They are shown
beside what the model says, so that a reader can see how far it is from what was measured.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float, Int

from data_pipelines.alignment import PanelMap, map_onto
from data_pipelines.genes import GenePanel
from data_pipelines.preparation.statistics import (
  MIN_LOG_STD,
  SCALE,
  SectionTable,
  streamed_table,
)
from data_pipelines.problems import BadInputError
from data_pipelines.section import StreamedSection
from hibio import keywords, pathways
from hibio.batch import SectionStatistics, Tables
from hibio.configs import KeywordConfig
from hibio.training.tables import TABLES, WRITE_TABLES_AGAIN, saved_tables

_PIECE = 1024
"""Spots read at a time."""

_DENSE_PIECE = 256
"""Spots on the device at a time; their counts are dense there."""


@dataclasses.dataclass(frozen=True)
class CorpusTables:
  """Gene sets, and how common each gene is in the corpus that a model was trained on.

  Attributes:
    names: of the gene sets.
    membership: genes of each.
    document_share: as `SectionStatistics.corpus_document_share`.
    mean_fraction: as `SectionStatistics.corpus_mean_fraction`.
    spatial: as `SectionStatistics.corpus_spatial`.
  """

  names: tuple[str, ...]
  membership: Bool[np.ndarray, "pathway gene"]
  document_share: Float[np.ndarray, " gene"]
  mean_fraction: Float[np.ndarray, " gene"]
  spatial: Float[np.ndarray, " gene"]

  @classmethod
  def read(cls, workdir: Path, num_genes: int, num_anchors: int) -> CorpusTables:
    """The tables that pretraining left in its work directory.

    Args:
      num_anchors: anchors that the parameters hold.

    Raises:
      BadInputError: they are missing, damaged, or of another model.
    """
    path, saved = workdir / TABLES, saved_tables(workdir)
    fields = ("names", "pathway", "gene", "document_share", "mean_fraction", "spatial")
    if missing := set(fields) - set(saved):
      raise BadInputError(
        path, "content", f"no {', '.join(sorted(missing))}", "what pretraining wrote",
        WRITE_TABLES_AGAIN,
      )  # fmt: skip
    names, share = tuple(saved["names"].tolist()), saved["document_share"]
    if len(share) != num_genes or max(len(names), 1) != num_anchors:
      raise BadInputError(
        path, "size", f"{len(share)} genes, {len(names)} gene sets",
        f"{num_genes} genes and {num_anchors} gene sets, as in the checkpoint", WRITE_TABLES_AGAIN,
      )  # fmt: skip
    membership = np.zeros((len(names), num_genes), bool)
    membership[saved["pathway"], saved["gene"]] = True
    return cls(names, membership, share, saved["mean_fraction"], saved["spatial"])

  def of_section(self, table: SectionTable) -> Tables:
    """The model's tables for one section, on the device."""
    fields = {
      field.name: np.asarray(getattr(table, field.name))[None]
      for field in dataclasses.fields(SectionTable)
    }
    fields["num_spots"] = fields["num_spots"].astype(np.float32)
    statistics = SectionStatistics(
      **fields,
      corpus_document_share=self.document_share,
      corpus_mean_fraction=self.mean_fraction,
      corpus_spatial=self.spatial,
    )
    tables = Tables(statistics, self.membership, np.full((1, 1), -1, np.int32))
    return jax.tree.map(jnp.asarray, tables)

  def log_level(
    self, table: SectionTable
  ) -> tuple[Float[np.ndarray, " gene"], Float[np.ndarray, " gene"]]:
    """Mean and standard deviation of log1p of counts per 10,000 that a section is taken to have.

    Its own of the genes that it measures. Of the others the training sections': from how often a
    gene is seen there and how much of it, as if every spot that shows it showed as much.
    """
    shown = np.clip(self.document_share, 1e-6, 1.0)
    level = np.log1p(SCALE * self.mean_fraction / shown)
    mean = np.where(table.measured, table.log_mean, shown * level)
    deviation = np.where(table.measured, table.log_std, np.sqrt(shown * (1 - shown)) * level)
    return mean, np.maximum(deviation, MIN_LOG_STD)


def unmeasured(num_genes: int, num_pathways: int) -> SectionTable:
  """The statistics of a section without counts: no gene is measured."""
  none = np.zeros(num_genes, np.float32)
  return SectionTable(
    measured=np.zeros(num_genes, bool),
    num_spots=1.0,
    document_frequency=none,
    mean_fraction=none,
    log_mean=none,
    log_std=np.ones(num_genes, np.float32),
    activity_mean=np.zeros(num_pathways, np.float32),
    activity_std=np.ones(num_pathways, np.float32),
  )


class PanelCounts:
  """Counts of one section over the panel. They are read as often as they are asked for.

  Attributes:
    table: what is known of the section as a whole; made of spots with counts, as in a corpus.
    has_counts: spots with at least one count over the panel.
    dropped: reason -> genes of the section or of the panel without a partner.
    notes: what a careful user should know of the genes.
    share: of the section's counts that is of genes of the panel.
  """

  table: SectionTable
  has_counts: Bool[np.ndarray, " spot"]
  dropped: dict[str, int]
  notes: tuple[str, ...]
  share: float

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
    self.dropped, self.notes = self._map.dropped, self._map.notes
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
    every, kept = 0, 0
    for start in range(0, self._section.num_spots, _PIECE):
      rows = np.arange(start, min(start + _PIECE, self._section.num_spots))
      own = self._section.read_counts(rows)
      counts = self._map.counts(own)
      every, kept = every + own.sum(dtype=np.int64), kept + counts.sum(dtype=np.int64)
      self.has_counts[rows] = np.asarray(counts.sum(axis=1)).ravel() > 0
      yield counts[self.has_counts[rows]]
    self.share = float(kept / max(every, 1))


@dataclasses.dataclass(frozen=True)
class CountsAlone:
  """What the counts of a section say; one row a spot.

  Attributes:
    counts: raw counts over the panel.
    keyword_scores: how strongly each gene speaks for the spot; 0 for genes that cannot be keywords.
    activity: of each gene set, in standard deviations of the section; 0 where it is not measured.
  """

  counts: Int[np.ndarray, "spot gene"]
  keyword_scores: Float[np.ndarray, "spot gene"]
  activity: Float[np.ndarray, "spot pathway"]


def counts_alone(
  section: StreamedSection, panel: GenePanel, corpus: CorpusTables, config: KeywordConfig
) -> CountsAlone:
  """Keyword scores and activity of all spots of a section; dense, so one section at a time.

  Raises:
    BadInputError: the section shares hardly a gene with the panel, or has no counts over it.
  """
  found = PanelCounts(section, panel, corpus.membership)
  tables, here = corpus.of_section(found.table), jnp.zeros(1, jnp.int32)
  membership = jnp.asarray(tables.membership)
  counts = found.rows(np.arange(section.num_spots)).toarray().astype(np.int32)
  scores, activity = [], []
  for start in range(0, len(counts), _DENSE_PIECE):
    piece = np.zeros((1, _DENSE_PIECE, counts.shape[1]), np.int32)  # one shape: compiled once
    real = len(counts[start : start + _DENSE_PIECE])
    piece[0, :real] = counts[start : start + _DENSE_PIECE]
    dense = jnp.asarray(piece)
    score = keywords.keyword_scores(dense, tables.statistics, here, config)
    scores.append(np.asarray(score)[0, :real])
    active = pathways.standardised_activity(dense, tables.statistics, membership, here)
    activity.append(np.asarray(active)[0, :real])
  return CountsAlone(counts, np.concatenate(scores), np.concatenate(activity))
