"""Level 2: both modalities read the same pathway anchors.

Activities are standardised in the section, so that no depth and no batch is left in the target.
Pathways that the platform does not measure are neither targets nor choices.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hibio.objectives.reduce import masked_log_softmax, masked_softmax, safe_log, unit

ACTIVE_ABOVE = 0.8416212
"""A pathway is on above this standardised activity: the 0.8 quantile of a normal distribution."""
ACTIVE_SHARE = 0.2


def is_active(
  activity: Float[Array, "spot pathway"], measured: Bool[Array, "spot pathway"]
) -> Bool[Array, "spot pathway"]:
  """Pathways that are on: about the top fifth of the section's spots, for each pathway."""
  return measured & (activity > ACTIVE_ABOVE)


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
) -> Float[Array, " spot"]:
  """Divergence KL(target || anchor probabilities) in nats; pathways compete for a spot.

  The target is the softmax of the spot's activities over `temperature`.

  Args:
    bias: not used; a softmax does not see it.
  """
  del bias
  target = masked_softmax(activity / temperature, measured)
  log_probability = log_probabilities(embedding, anchors, scale, measured)
  return (target * (safe_log(target) - log_probability)).sum(-1)


def bce(
  embedding: Float[Array, "spot width"],
  anchors: Float[Array, "pathway width"],
  scale: Float[Array, ""],
  bias: Float[Array, ""],
  activity: Float[Array, "spot pathway"],
  measured: Bool[Array, "spot pathway"],
  *,
  temperature: float,
) -> Float[Array, " spot"]:
  """Mean over measured pathways of the balanced cross-entropy of "is it on?"; any number may be.

  On and off weigh the same: on counts 1 / (2 * 0.2), off 1 / (2 * 0.8), since a pathway is on in
  about a fifth of a section by definition.

  Args:
    temperature: not used; the target is yes or no.
  """
  del temperature
  logits = scale * (embedding @ anchors.T) + bias
  on = 0.5 / ACTIVE_SHARE * jax.nn.softplus(-logits)
  off = 0.5 / (1.0 - ACTIVE_SHARE) * jax.nn.softplus(logits)
  values = jnp.where(is_active(activity, measured), on, off)
  count = measured.sum(-1, dtype=jnp.float32)
  return jnp.where(measured, values, 0.0).sum(-1) / jnp.maximum(count, 1.0)


FORMS = {"kl": kl, "bce": bce}
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
