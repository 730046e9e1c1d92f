"""What comes out of the model, one field for each thing an objective or a task can ask for."""

from __future__ import annotations

from flax import struct
from jaxtyping import Array, Bool, Float, Int


@struct.dataclass
class Keywords:
  """The keyword genes of each spot, strongest first.

  Attributes:
    gene: rows of the gene panel.
    fraction: the gene's share of the spot's counts.
    weight: keyword weight, sums to 1 over the kept keywords of a spot.
    mask: False where a spot has fewer keywords than places.
  """

  gene: Int[Array, "window spot keyword"]
  fraction: Float[Array, "window spot keyword"]
  weight: Float[Array, "window spot keyword"]
  mask: Bool[Array, "window spot keyword"]


@struct.dataclass
class Outputs:
  """Embeddings and readouts of a batch.

  Attributes:
    image: unit-norm embedding of each patch with its surroundings.
    gene: unit-norm embedding of each profile with its surroundings.
    anchors: unit-norm pathway anchors.
    anchor_offset: the learned part of the anchors that member genes do not explain.
    predicted_from_image: expression standardised in its section, read from the image embedding.
    predicted_from_gene: the same, read from the gene embedding.
    keywords: what the gene encoder read.
    keyword_weight: weight of every gene of every spot (dense; zero for genes that are no keyword).
    region_score_image: weight logit of each spot when its region is pooled.
    region_score_gene: the same for the gene side.
    log_scale: log of the inverse temperature of the spot contrast.
    anchor_log_scale: log of the inverse temperature of the anchor probabilities.
  """

  image: Float[Array, "window spot width"]
  gene: Float[Array, "window spot width"]
  anchors: Float[Array, "pathway width"]
  anchor_offset: Float[Array, "pathway width"]
  predicted_from_image: Float[Array, "window spot gene"]
  predicted_from_gene: Float[Array, "window spot gene"]
  keywords: Keywords
  keyword_weight: Float[Array, "window spot gene"]
  region_score_image: Float[Array, "window spot"]
  region_score_gene: Float[Array, "window spot"]
  log_scale: Float[Array, ""]
  anchor_log_scale: Float[Array, ""]


OF_NO_WINDOW = ("anchors", "anchor_offset", "log_scale", "anchor_log_scale")
"""Fields that are the model's own and belong to no window."""
