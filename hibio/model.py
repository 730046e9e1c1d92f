"""HiBio: both encoders, their surroundings, the pathway anchors and the readouts, in order."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from hibio import encoders
from hibio.batch import Batch, SectionStatistics
from hibio.configs import ModelConfig
from hibio.encoders.base import check_heads, require
from hibio.encoders.context import NeighbourContext
from hibio.encoders.gene import ProfileReader, profile_sum
from hibio.expression import fraction, standardised_in_sections
from hibio.keywords import keyword_scores, pattern, top_keywords
from hibio.layout import by_rows, gathered
from hibio.masked import unit
from hibio.nn.centring import Centring
from hibio.nn.layers import Dense
from hibio.outputs import Keywords, Outputs
from hibio.pairwise import mean_within
from hibio.pathways import member_weights

# The spot contrast's. CLIP begins at 1/0.07; logits of untrained towers are then so loud that the
# quickest way to chance is to make all embeddings alike, and training stalls there for a while.
_LOG_SCALE = math.log(5.0)
_ANCHOR_LOG_SCALE = math.log(10.0)

_READS = ("one that reads patches: there are no features", "one that reads features: those given")


class HiBio(nn.Module):
  """Patches and counts of windows of spots, embedded in one space beside the pathway anchors.

  One table holds a vector a gene. Keyword tokens, anchors and the readout of expression all use it:
  a gene added to the panel is one row more.
  """

  config: ModelConfig
  num_genes: int

  @nn.compact
  def __call__(
    self,
    batch: Batch,
    statistics: SectionStatistics,
    membership: Bool[Array | np.ndarray, "pathway gene"],
    *,
    train: bool = False,
  ) -> Outputs:
    """Embeddings and readouts of every spot; padding has no meaning and influences no other spot.

    Args:
      train: draw from the stream "context" which features are hidden.

    Raises:
      BadInputError: sizes in the config that do not fit together, or do not fit the batch.
    """
    config, dtype = self.config, jnp.dtype(self.config.dtype)
    built = encoders.of(config, train)
    _check(config, batch, self.num_genes, built["image"].reads_pixels)
    for encoder in built.values():
      encoder.check(batch)
    batch, statistics, membership = jax.tree.map(jnp.asarray, (batch, statistics, membership))
    gene_table = nn.Embed(
      self.num_genes,
      config.gene.width,
      embedding_init=nn.initializers.normal(config.gene.width**-0.5),
      name="gene_table",
    ).embedding
    gene_table = gathered(jnp.asarray(gene_table), ("gene_table", "embedding"))

    keywords, keyword_weight = self.keywords(batch, statistics)
    first = statistics.measured[:, : config.reference_genes]
    measured_share = first.mean(-1, dtype=jnp.float32)[batch.section_index]
    gene = built["gene"](keywords, gene_table, measured_share)
    if config.gene_profile:
      profile = profile_sum(
        standardised_in_sections(batch.counts, statistics, batch.section_index),
        pattern(statistics, config.keywords),
        gene_table.astype(dtype),
      )
      gene += ProfileReader(config.gene.width, dtype, name="profile")(profile)
    towers = {"image": built["image"](batch), "gene": gene}
    known = {
      "image": batch.spot_mask & batch.has_patch,
      "gene": batch.spot_mask & batch.has_counts,
    }
    embedding, readout, region_score = {}, {}, {}
    gene_bias = self.param("gene_bias", nn.initializers.zeros, (self.num_genes,))
    for name, tower in towers.items():
      vectors = Dense(config.embedding_width, dtype=dtype, name=f"project_{name}")(tower)
      vectors = Centring(name=f"centre_{name}")(vectors, known[name], train=train)
      vectors = vectors.astype(dtype)
      if config.context.radius_um > 0:
        context = NeighbourContext(config.context, dtype, name=f"context_{name}")
        vectors = context(vectors, batch.positions_um, known[name])
        if name == "gene" and config.gene_profile:
          around = mean_within(
            profile, batch.positions_um, known[name], radius_um=config.context.radius_um
          )
          vectors += ProfileReader(config.embedding_width, dtype, name="neighbourhood")(around)
      embedding[name] = unit(vectors.astype(jnp.float32))
      query = Dense(config.gene.width, dtype=dtype, name=f"readout_{name}")(embedding[name])
      readout[name] = (query @ gene_table.T.astype(dtype)).astype(jnp.float32)
      readout[name] += gene_bias[None, None]
      score = Dense(1, kernel_init=nn.initializers.zeros, name=f"region_score_{name}")
      region_score[name] = score(embedding[name])[..., 0]

    def scalar(name: str, value: float):
      return self.param(name, nn.initializers.constant(value), ())

    anchors, anchor_offset = self.anchors(gene_table, statistics, membership)
    return Outputs(
      image=embedding["image"],
      gene=embedding["gene"],
      anchors=anchors,
      anchor_offset=anchor_offset,
      predicted_from_image=readout["image"],
      predicted_from_gene=readout["gene"],
      keywords=keywords,
      keyword_weight=keyword_weight,
      region_score_image=region_score["image"],
      region_score_gene=region_score["gene"],
      log_scale=scalar("log_scale", _LOG_SCALE),
      anchor_log_scale=scalar("anchor_log_scale", _ANCHOR_LOG_SCALE),
    )

  def keywords(
    self, batch: Batch, statistics: SectionStatistics
  ) -> tuple[Keywords, Float[Array, "window spot gene"]]:
    """What the gene encoder reads, and the same as a weight of every gene."""
    measured = statistics.measured[batch.section_index]
    scores = keyword_scores(batch.counts, statistics, batch.section_index, self.config.keywords)
    shares = fraction(batch.counts, measured[:, None])
    number = self.config.keywords.num_keywords
    # Of its own spots alone: to sort, the compiler would send all scores to every device.
    return by_rows(lambda rows, _: top_keywords(*rows, number), (scores, shares, measured))

  def anchors(
    self,
    gene_table: Float[Array, "gene width"],
    statistics: SectionStatistics,
    membership: Bool[Array, "pathway gene"],
  ) -> tuple[Float[Array, "pathway embedding"], Float[Array, "pathway embedding"]]:
    """Unit-norm anchors, made of their member genes and a learned offset, and that offset."""
    weights = member_weights(membership, statistics.corpus_document_share)
    width = self.config.embedding_width
    members = Dense(width, use_bias=False, name="anchor")(weights @ gene_table)
    # At least one row: a checkpoint cannot hold an empty array.
    rows = max(len(members), 1)
    offset = self.param("anchor_offset", nn.initializers.zeros, (rows, width))[: len(members)]
    return unit(members + offset), offset


def _check(config: ModelConfig, batch: Batch, num_genes: int, reads_pixels: bool) -> None:
  """Sizes that must divide or equal each other."""
  side, genes = batch.patches.shape[-2], batch.counts.shape[-1]
  known, image = batch.features is not None, config.image_encoder
  require(known != reads_pixels, "image_encoder", image, _READS[known])
  require(
    known or config.patch_px == side,
    "patch_px",
    config.patch_px,
    f"{side}, the side of the patches",
  )
  require(num_genes == genes, "num_genes", num_genes, f"{genes}, the genes of the counts")
  check_heads("context", config.embedding_width, config.context.num_heads)
