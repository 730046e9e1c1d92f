"""Inverse temperatures that are learned, stop at 100, and can come back from there."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hibio import pathways
from hibio.batch import Batch, Tables
from hibio.configs import ObjectiveConfig
from hibio.expression import in_section_units
from hibio.objectives import reconstruction, spot
from hibio.outputs import Outputs

LOG_LIMIT = 4.6051702
"""ln 100, the limit of CLIP (Radford et al. 2021, section 2.5)."""


@jax.custom_vjp
def inverse_temperature(log_scale: Float[Array, ""]) -> Float[Array, ""]:
  """exp(log_scale), at most 100.

  Beyond the limit only a gradient that leads back passes; that of a plain minimum is zero there,
  and the scale would stay at the limit for good.
  """
  return jnp.exp(jnp.minimum(log_scale, LOG_LIMIT))


def at_limit(log_scale: Float[Array, ""]) -> Float[Array, ""]:
  """1 where the limit holds the inverse temperature back, else 0."""
  return (log_scale >= LOG_LIMIT).astype(jnp.float32)


def _forward(log_scale):
  scale = inverse_temperature(log_scale)
  return scale, (scale, log_scale >= LOG_LIMIT)


def _backward(residuals, gradient):
  scale, at_limit = residuals
  gradient = gradient * scale
  return (jnp.where(at_limit, jnp.maximum(gradient, 0.0), gradient),)


inverse_temperature.defvjp(_forward, _backward)


_LARGEST_TABLE = 4096
"""Spots whose N x N similarities are held at once (64 MB each); more are worked on in blocks."""


class Side(NamedTuple):
  """One modality of all spots of the batch, windows one after the other."""

  embedding: Float[Array, "spot width"]
  readout: Float[Array, "spot gene"]
  score: Float[Array, " spot"]
  real: Bool[Array, " spot"]


class Truth(NamedTuple):
  """What the counts of each spot say."""

  expression: Float[Array, "spot gene"]
  measured: Bool[Array, "spot gene"]
  keyword_weight: Float[Array, "spot gene"]
  activity: Float[Array, "spot pathway"]
  measured_pathways: Bool[Array, "spot pathway"]


class Anchors(NamedTuple):
  """The anchors, and how similarity to them becomes a probability."""

  vectors: Float[Array, "pathway width"]
  offset: Float[Array, "pathway width"]
  scale: Float[Array, ""]
  bias: Float[Array, ""]


def sides_of(
  outputs: Outputs, batch: Batch, tables: Tables, config: ObjectiveConfig
) -> tuple[Side, Side, Truth]:
  """Outputs and targets with windows one after the other, in float32."""
  statistics, section = tables.statistics, batch.section_index
  measured = statistics.measured[section][:, None]
  expression = in_section_units(batch.counts, statistics, section)
  if config.surroundings_share > 0:
    expression = reconstruction.blended(
      expression,
      batch.positions_um,
      batch.spot_mask & batch.has_counts,
      radius_um=config.neighbour_radius_um,
      share=config.surroundings_share,
    )
  activity = pathways.standardised_activity(batch.counts, statistics, tables.membership, section)
  measured_pathways = pathways.measured_pathways(statistics, tables.membership, section)[:, None]

  def flat(leaf):
    return leaf.reshape(batch.spot_mask.size, *leaf.shape[2:])

  image = Side(
    float32(flat(outputs.image)),
    float32(flat(outputs.predicted_from_image)),
    float32(flat(outputs.region_score_image)),
    flat(batch.spot_mask & batch.has_patch),
  )
  gene = Side(
    float32(flat(outputs.gene)),
    float32(flat(outputs.predicted_from_gene)),
    float32(flat(outputs.region_score_gene)),
    flat(batch.spot_mask & batch.has_counts),
  )
  truth = Truth(
    flat(expression),
    flat(jnp.broadcast_to(measured, expression.shape)),
    float32(flat(outputs.keyword_weight)),
    flat(activity),
    flat(jnp.broadcast_to(measured_pathways, activity.shape)),
  )
  return image, gene, jax.lax.stop_gradient(truth)


def block_of(pairs: spot.Pairs) -> int | None:
  num_spots = pairs.valid.size
  return None if num_spots <= _LARGEST_TABLE else math.gcd(num_spots, 1024)


def in_windows(leaf: Array, batch: Batch) -> Array:
  return leaf.reshape(*batch.spot_mask.shape, *leaf.shape[1:])


def float32(leaf):
  return leaf.astype(jnp.float32)
