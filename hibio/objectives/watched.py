"""Which monitors are looked at in every step, by the names that they have in the log."""

from __future__ import annotations

from collections.abc import Iterator

import jax.numpy as jnp
from jaxtyping import Array

from hibio.batch import Batch
from hibio.configs import ObjectiveConfig
from hibio.objectives import monitors, prototypes, spot
from hibio.objectives.reduce import masked_mean, masked_softmax
from hibio.objectives.sides import Anchors, Side, Truth, block_of, float32, in_windows
from hibio.outputs import Outputs


def of_batch(
  image: Side,
  gene: Side,
  truth: Truth,
  pairs: spot.Pairs,
  anchors: Anchors,
  config: ObjectiveConfig,
) -> Iterator[tuple[str, Array]]:
  block, radius_um = block_of(pairs), config.neighbour_radius_um
  for name, side in (("image", image), ("gene", gene)):
    yield f"effective_rank_{name}", monitors.effective_rank(side.embedding, side.real)
    yield f"dimension_std_{name}", monitors.dimension_std(side.embedding, side.real)
    yield f"mean_cosine_{name}", monitors.mean_cosine(side.embedding, side.real)
    yield f"uniformity_{name}", monitors.uniformity(side.embedding, side.real, block)
    probabilities = masked_softmax(
      anchors.scale * (side.embedding @ anchors.vectors.T), truth.measured_pathways
    )
    usage, unused = monitors.anchor_usage(probabilities, side.real & gene.real)
    yield f"anchor_entropy_{name}", usage
    yield f"anchors_unused_{name}", unused
    # Without a spot to look at, the values above are 0 and say nothing.
    yield f"with_{name}", side.real.any().astype(jnp.float32)
  yield "anchors", jnp.float32(len(anchors.vectors))
  yield "alignment", monitors.alignment(image.embedding, gene.embedding, pairs.valid)
  masked = spot.masked_share(pairs, neighbour_radius_um=radius_um, block=block)
  yield "masked_negatives", masked_mean(masked, pairs.valid)
  for name, within in (("recall", False), ("recall_within_section", True)):
    hit, chance = spot.accuracy(
      pairs, neighbour_radius_um=radius_um, within_section=within, block=block
    )
    yield name, masked_mean(hit, pairs.valid)
    yield f"{name}_chance", masked_mean(chance, pairs.valid)


def tokens_dropped(outputs: Outputs, batch: Batch) -> Array:
  """Share of a spot's counts that no keyword holds."""
  keywords = outputs.keywords
  held = jnp.where(keywords.mask, float32(keywords.fraction), 0.0).sum(-1)
  return masked_mean(1.0 - held, batch.spot_mask & batch.has_counts)


def of_prototypes(
  image: Side,
  gene: Side,
  learned: prototypes.Prototypes,
  batch: Batch,
  config: ObjectiveConfig,
) -> Iterator[tuple[str, Array]]:
  for name, side in (("image", image), ("gene", gene)):
    probabilities = prototypes.assignment(
      in_windows(side.embedding, batch), learned, temperature=config.region_temperature
    )
    entropy, unused = monitors.anchor_usage(
      probabilities.reshape(learned.mask.size, -1), learned.mask.reshape(-1)
    )
    yield f"prototype_entropy_{name}", entropy
    yield f"prototypes_unused_{name}", unused
  open_share = learned.allowed.mean(-1, dtype=jnp.float32)
  yield "prototypes_open", masked_mean(open_share, learned.mask.any(-1))
