"""Signs of collapse and of shortcuts, cheap enough to be looked at in every step."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hibio.batch import Batch
from hibio.masked import entropy, masked_mean, masked_softmax
from hibio.nn.temperature import at_limit
from hibio.objectives import spot
from hibio.objectives.inputs import Inputs
from hibio.outputs import Outputs
from hibio.pairwise import block_of, map_rows


def effective_rank(
  embedding: Float[Array, "spot width"], mask: Bool[Array, " spot"]
) -> Float[Array, ""]:
  """Dimensions in use: (sum of eigenvalues)^2 / sum of their squares, of the covariance.

  Between 1 and the width; 0 without spots. The sums are traces, so no eigenvalue is needed.

  References:
    Participation ratio; Gao et al. 2017, doi:10.1101/214262.
  """
  covariance = _covariance(embedding, mask)
  return jnp.trace(covariance) ** 2 / jnp.maximum((covariance**2).sum(), 1e-20)


def dimension_std(
  embedding: Float[Array, "spot width"], mask: Bool[Array, " spot"]
) -> Float[Array, ""]:
  """Mean standard deviation of a dimension, times sqrt(width): 1 = spread evenly, 0 = collapsed."""
  variance = jnp.diagonal(_covariance(embedding, mask))
  return jnp.sqrt(jnp.maximum(variance, 0.0)).mean() * embedding.shape[-1] ** 0.5


def mean_cosine(
  embedding: Float[Array, "spot width"], mask: Bool[Array, " spot"]
) -> Float[Array, ""]:
  """Mean similarity of two different spots; 1 if all embeddings have become one."""
  kept = jnp.where(mask[:, None], embedding, 0.0)
  count = mask.sum(dtype=jnp.float32)
  off_diagonal = (kept.sum(0) ** 2).sum() - (kept**2).sum()
  return off_diagonal / jnp.maximum(count * (count - 1.0), 1.0)


def alignment(
  image: Float[Array, "spot width"], gene: Float[Array, "spot width"], mask: Bool[Array, " spot"]
) -> Float[Array, ""]:
  """Mean squared distance of a spot's two embeddings (Wang & Isola 2020, arXiv:2005.10242)."""
  return masked_mean(((image - gene) ** 2).sum(-1), mask)


def uniformity(
  embedding: Float[Array, "spot width"], mask: Bool[Array, " spot"], block: int | None = None
) -> Float[Array, ""]:
  """Log of the mean of exp(-2 * squared distance) of two different spots; 0 if collapsed.

  References:
    Wang & Isola 2020, arXiv:2005.10242, t = 2.
  """

  def row(one, others):
    (vector, real), (embedding, mask) = one, others
    squared = (vector**2).sum() + (embedding**2).sum(-1) - 2.0 * (embedding @ vector)
    # exp(0) = 1 of the spot with itself is left out.
    total = jnp.where(mask, jnp.exp(-2.0 * jnp.maximum(squared, 0.0)), 0.0).sum() - 1.0
    return jnp.where(real, total, 0.0)

  count = mask.sum(dtype=jnp.float32)
  total = map_rows(row, (embedding, mask), (embedding, mask), block).sum()
  mean = total / jnp.maximum(count * (count - 1.0), 1.0)
  return jnp.where(count > 1, jnp.log(jnp.maximum(mean, 1e-30)), 0.0)


def anchor_usage(
  probabilities: Float[Array, "spot pathway"], mask: Bool[Array, " spot"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
  """Entropy in nats of the mean anchor probability, and the number of anchors hardly used.

  Hardly used: a mean probability below a tenth of an even share.
  """
  count = jnp.maximum(mask.sum(dtype=jnp.float32), 1.0)
  usage = jnp.where(mask[:, None], probabilities, 0.0).sum(0) / count
  unused = usage < 0.1 / max(usage.size, 1)
  return entropy(usage), jnp.where(mask.any(), unused.sum(dtype=jnp.float32), 0.0)


def _covariance(embedding, mask):
  count = jnp.maximum(mask.sum(dtype=jnp.float32), 1.0)
  mean = jnp.where(mask[:, None], embedding, 0.0).sum(0) / count
  centred = jnp.where(mask[:, None], embedding - mean[None, :], 0.0)
  return centred.T @ centred / count


def of_batch(inputs: Inputs) -> Iterator[tuple[str, Array, Array | None]]:
  """Name, value and items of every monitor of a batch; no gradient flows through them.

  Items are the spots or pairs that were looked at: without one the value is 0 and says nothing.
  None for what can always be told.
  """
  image, gene, truth, pairs, anchors = jax.lax.stop_gradient(
    (inputs.image, inputs.gene, inputs.truth, inputs.pairs, inputs.anchors)
  )
  block, radius_um = block_of(pairs.valid.size), inputs.config.neighbour_radius_um
  profiles, num_pairs = _number(gene.real), _number(pairs.valid)
  for name, side in (("image", image), ("gene", gene)):
    spots = _number(side.real)
    yield f"effective_rank_{name}", effective_rank(side.embedding, side.real), spots
    yield f"dimension_std_{name}", dimension_std(side.embedding, side.real), spots
    yield f"mean_cosine_{name}", mean_cosine(side.embedding, side.real), spots
    yield f"uniformity_{name}", uniformity(side.embedding, side.real, block), spots
    probabilities = masked_softmax(
      anchors.scale * (side.embedding @ anchors.vectors.T), truth.measured_pathways
    )
    with_counts = side.real & gene.real
    usage, unused = anchor_usage(probabilities, with_counts)
    yield f"anchor_entropy_{name}", usage, _number(with_counts)
    yield f"anchors_unused_{name}", unused, _number(with_counts)
  yield "anchors", jnp.float32(len(anchors.vectors)), None
  yield "alignment", alignment(image.embedding, gene.embedding, pairs.valid), num_pairs
  masked = spot.masked_share(pairs, neighbour_radius_um=radius_um, block=block)
  yield "masked_negatives", masked_mean(masked, pairs.valid), num_pairs
  for name, within in (("recall", False), ("recall_within_section", True)):
    hit, chance = spot.accuracy(
      pairs, neighbour_radius_um=radius_um, within_section=within, block=block
    )
    yield name, masked_mean(hit, pairs.valid), num_pairs
    yield f"{name}_chance", masked_mean(chance, pairs.valid), num_pairs
  yield "gene_tokens_dropped", tokens_dropped(inputs.outputs, inputs.batch), profiles
  yield "scale", inputs.scale, None
  yield "anchor_scale", inputs.anchors.scale, None
  yield "scale_at_limit", at_limit(inputs.outputs.log_scale.astype(jnp.float32)), None
  yield "anchor_scale_at_limit", at_limit(inputs.outputs.anchor_log_scale.astype(jnp.float32)), None


def _number(mask: Bool[Array, " spot"]) -> Float[Array, ""]:
  return mask.sum(dtype=jnp.float32)


def tokens_dropped(outputs: Outputs, batch: Batch) -> Float[Array, ""]:
  """Share of a spot's counts that no keyword holds."""
  keywords = outputs.keywords
  held = jnp.where(keywords.mask, keywords.fraction.astype(jnp.float32), 0.0).sum(-1)
  return masked_mean(1.0 - held, batch.spot_mask & batch.has_counts)
