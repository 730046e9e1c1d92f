"""Level 2: both modalities read the same pathway anchors.

Activities are standardised in the section, so that no depth and no batch is left in the target.
Pathways that the platform does not measure are neither targets nor choices.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hibio.masked import masked_log_softmax, masked_softmax, safe_log, unit


def is_active(
  activity: Float[Array, "spot pathway"],
  measured: Bool[Array, "spot pathway"],
  *,
  threshold: float,
) -> Bool[Array, "spot pathway"]:
  """Pathways that are on: activity above `threshold` standard deviations of the section."""
  return measured & (activity > threshold)


def active_share(threshold: float) -> float:
  """Share of a section's spots in which a pathway is on, if activities are normal."""
  return 0.5 * math.erfc(threshold / math.sqrt(2.0))


def log_probabilities(
  embedding: Float[Array, "spot width"],
  anchors: Float[Array, "pathway width"],
  scale: Float[Array, ""],
  measured: Bool[Array, "spot pathway"],
) -> Float[Array, "spot pathway"]:
  """Log-probability of each anchor by its similarity to the spot; 0 where not measured."""
  return masked_log_softmax(scale * (embedding @ anchors.T), measured)


def kl(
  embedding: Float[Array, "spot width"],
  anchors: Float[Array, "pathway width"],
  scale: Float[Array, ""],
  bias: Float[Array, ""],
  activity: Float[Array, "spot pathway"],
  measured: Bool[Array, "spot pathway"],
  *,
  temperature: float,
  threshold: float,
) -> Float[Array, " spot"]:
  """Divergence KL(target || anchor probabilities) in nats; pathways compete for a spot.

  The target is the softmax of the spot's activities over `temperature`.

  Args:
    bias: not used; a softmax does not see it.
    threshold: not used; the target is soft.
  """
  del bias, threshold
  target = masked_softmax(activity / temperature, measured)
  return _divergence(target, log_probabilities(embedding, anchors, scale, measured))


def kl_indicator(
  embedding: Float[Array, "spot width"],
  anchors: Float[Array, "pathway width"],
  scale: Float[Array, ""],
  bias: Float[Array, ""],
  activity: Float[Array, "spot pathway"],
  measured: Bool[Array, "spot pathway"],
  *,
  temperature: float,
  threshold: float,
) -> Float[Array, " spot"]:
  """Divergence KL(target || anchor probabilities) in nats, of pathways that are on or off.

  The target is spread evenly over the pathways that are on (`is_active`); 0 where none is.

  Args:
    bias: not used; a softmax does not see it.
    temperature: not used; the target is yes or no.
  """
  del bias, temperature
  on = is_active(activity, measured, threshold=threshold).astype(jnp.float32)
  target = on / jnp.maximum(on.sum(-1, keepdims=True), 1.0)
  return _divergence(target, log_probabilities(embedding, anchors, scale, measured))


def bce(
  embedding: Float[Array, "spot width"],
  anchors: Float[Array, "pathway width"],
  scale: Float[Array, ""],
  bias: Float[Array, ""],
  activity: Float[Array, "spot pathway"],
  measured: Bool[Array, "spot pathway"],
  *,
  temperature: float,
  threshold: float,
) -> Float[Array, " spot"]:
  """Mean over measured pathways of the balanced cross-entropy of "is it on?"; any number may be.

  On and off weigh the same over a section: with s = `active_share`, on counts 1 / (2 s) and off
  1 / (2 (1 - s)).

  Args:
    temperature: not used; the target is yes or no.
  """
  del temperature
  share = active_share(threshold)
  logits = scale * (embedding @ anchors.T) + bias
  on = 0.5 / share * jax.nn.softplus(-logits)
  off = 0.5 / (1.0 - share) * jax.nn.softplus(logits)
  values = jnp.where(is_active(activity, measured, threshold=threshold), on, off)
  count = measured.sum(-1, dtype=jnp.float32)
  return jnp.where(measured, values, 0.0).sum(-1) / jnp.maximum(count, 1.0)


FORMS = {"kl": kl, "kl_indicator": kl_indicator, "bce": bce}
"""How anchors are matched with activities; each returns a value a spot."""


def prototype_contrast(
  image: Float[Array, "spot width"],
  gene: Float[Array, "spot width"],
  active: Bool[Array, "spot pathway"],
  scale: Float[Array, ""],
) -> tuple[Float[Array, " pathway"], Float[Array, " pathway"], Bool[Array, " pathway"]]:
  """Do a pathway's mean image and mean profile find each other among the pathways of the batch?

  Args:
    active: spots in which a pathway is on, valid pairs only.

  Returns:
    Symmetric cross-entropy of each pathway, log of the number of pathways present, and which are
    present (on in at least one spot); 0 for the others.
  """
  member = active.T.astype(image.dtype)
  present = active.any(0)
  logits = scale * (unit(member @ image) @ unit(member @ gene).T)
  allowed = jnp.broadcast_to(present[None, :], logits.shape)
  to_gene = jnp.diagonal(masked_log_softmax(logits, allowed))
  to_image = jnp.diagonal(masked_log_softmax(logits.T, allowed))
  chance = jnp.where(present, jnp.log(jnp.maximum(present.sum(dtype=jnp.float32), 1.0)), 0.0)
  return jnp.where(present, -0.5 * (to_gene + to_image), 0.0), chance, present


def jaccard(membership: Bool[Array, "pathway gene"]) -> Float[Array, "pathway pathway"]:
  """Shared genes over all genes, of every two pathways."""
  member = membership.astype(jnp.float32)
  shared = member @ member.T
  size = member.sum(-1)
  return shared / jnp.maximum(size[:, None] + size[None, :] - shared, 1.0)


def anchor_separation(
  anchors: Float[Array, "pathway width"],
  overlap: Float[Array, "pathway pathway"],
  *,
  slack: float = 0.3,
) -> Float[Array, " pathway"]:
  """How far an anchor is closer to others than shared genes (`jaccard`) allow.

  Half the sum over the other anchors q of max(0, <c_p, c_q> - Jaccard_pq - slack)^2, so that the
  sum over anchors counts each two of them once.
  """
  excess = jnp.maximum(anchors @ anchors.T - overlap - slack, 0.0) ** 2
  return 0.5 * jnp.where(jnp.eye(len(anchors), dtype=bool), 0.0, excess).sum(-1)


def _divergence(
  target: Float[Array, "spot pathway"], log_probability: Float[Array, "spot pathway"]
) -> Float[Array, " spot"]:
  return (target * (safe_log(target) - log_probability)).sum(-1)
