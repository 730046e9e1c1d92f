"""What a new section needs of the corpus that a model was trained on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from data_pipelines.preparation.statistics import SectionTable
from data_pipelines.problems import BadInputError
from hibio.batch import SectionStatistics, Tables
from hibio.training.workdir import TABLES, WRITE_TABLES_AGAIN, saved_tables


@dataclasses.dataclass(frozen=True)
class CorpusTables:
  """Gene sets, and how common each gene is in the corpus.

  Attributes:
    names: of the gene sets; none where the checkpoint does not say.
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


def read(workdir: Path, num_genes: int, num_anchors: int, needs_background: bool) -> CorpusTables:
  """The tables that pretraining left in its work directory.

  Runs of earlier versions left none. They give embeddings all the same, without pathways.

  Args:
    num_anchors: anchors that the parameters hold.
    needs_background: genes are weighed by how common or how patterned they are in the corpus.

  Raises:
    BadInputError: they are damaged, or missing where they are needed.
  """
  path, saved = workdir / TABLES, saved_tables(workdir)
  if not saved:
    if needs_background:
      raise BadInputError(
        path, "file", "none", "what is known of genes in the corpus", WRITE_TABLES_AGAIN
      )
    return CorpusTables(
      (),
      np.zeros((num_anchors, num_genes), bool),
      np.full(num_genes, 0.5, np.float32),
      np.zeros(num_genes, np.float32),
      np.zeros(num_genes, np.float32),
    )
  if missing := {"names", "pathway", "gene", "document_share", "mean_fraction"} - set(saved):
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
  # A checkpoint from before genes were weighed by their pattern does not ask for it.
  spatial = saved.get("spatial", np.zeros(num_genes, np.float32))
  return CorpusTables(names, membership, share, saved["mean_fraction"], spatial)
