"""What goes into the model: a batch of windows, and the tables of the corpus that ride along."""

from __future__ import annotations

import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int, UInt8


@struct.dataclass
class Batch:
  """Windows of neighbouring spots, padded to the same number of spots.

  Attributes:
    patches: H&E patches, 8-bit RGB; of side 0 where features stand in for them.
    counts: raw counts over the gene panel; 0 also where a gene is not measured.
    positions_um: spot centres; x right, y down.
    spot_mask: True = real spot, False = padding.
    has_patch: True where the patch is real, or where features are known.
    has_counts: True where the counts are real.
    section_index: row of the window's section in the tables.
    spot_index: row of the spot in the corpus; 0 for padding.
    features: of a frozen image encoder, as `data_pipelines.features.reading.model_input` makes
      them; None where the model reads pixels.
  """

  patches: UInt8[Array | np.ndarray, "window spot height width 3"]
  counts: Int[Array | np.ndarray, "window spot gene"]
  positions_um: Float[Array | np.ndarray, "window spot 2"]
  spot_mask: Bool[Array | np.ndarray, "window spot"]
  has_patch: Bool[Array | np.ndarray, "window spot"]
  has_counts: Bool[Array | np.ndarray, "window spot"]
  section_index: Int[Array | np.ndarray, " window"]
  spot_index: Int[Array | np.ndarray, "window spot"]
  features: Float[Array | np.ndarray, "window spot feature"] | None = None


@struct.dataclass
class SectionStatistics:
  """What is known of each section as a whole; made by `data_pipelines.preparation.statistics`.

  Attributes:
    measured: genes the section's platform measures.
    num_spots: spots of the section.
    document_frequency: spots in which the gene has a count.
    mean_fraction: mean over spots of the gene's share of the spot's counts.
    log_mean: mean over spots of log1p(1e4 * share).
    log_std: and its standard deviation.
    activity_mean: mean over spots of each pathway's activity.
    activity_std: and its standard deviation.
    corpus_document_share: mean over training sections that measure the gene of
      (document_frequency + 1) / (num_spots + 2).
    corpus_mean_fraction: mean over those sections of `mean_fraction`.
    corpus_spatial: how far a gene's Moran's I lies above chance, mean over those sections.
  """

  measured: Bool[Array | np.ndarray, "section gene"]
  num_spots: Float[Array | np.ndarray, " section"]
  document_frequency: Float[Array | np.ndarray, "section gene"]
  mean_fraction: Float[Array | np.ndarray, "section gene"]
  log_mean: Float[Array | np.ndarray, "section gene"]
  log_std: Float[Array | np.ndarray, "section gene"]
  activity_mean: Float[Array | np.ndarray, "section pathway"]
  activity_std: Float[Array | np.ndarray, "section pathway"]
  corpus_document_share: Float[Array | np.ndarray, " gene"]
  corpus_mean_fraction: Float[Array | np.ndarray, " gene"]
  corpus_spatial: Float[Array | np.ndarray, " gene"]


@struct.dataclass
class Tables:
  """Arrays of the corpus that every step reads.

  Attributes:
    statistics: of each section.
    membership: genes of each pathway, over the gene panel.
    regions: region of each spot of the corpus at each level, finest first; ids are unique within a
      level over the whole corpus; -1 where a spot has none.
    overlap: shared genes over all genes of every two pathways; None to compute it in each step,
      which costs more than the model where there are a thousand pathways.
    labels: class of each spot of the corpus; -1 where it has none.
  """

  statistics: SectionStatistics
  membership: Bool[Array | np.ndarray, "pathway gene"]
  regions: Int[Array | np.ndarray, "level corpus_spot"]
  overlap: Float[Array | np.ndarray, "pathway pathway"] | None = None
  labels: Int[Array | np.ndarray, " corpus_spot"] | None = None
