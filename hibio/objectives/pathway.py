"""Level 2: both modalities read the same pathway anchors.

Activities are standardised in the section, so that no depth and no batch is left in the target.
Pathways that the platform does not measure are neither targets nor choices.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from data_pipelines.problems import BadInputError
from hibio.configs import ObjectiveConfig
from hibio.masked import masked_log_softmax, masked_softmax, safe_log, unit
from hibio.objectives.base import Objective, Values, added
from hibio.objectives.inputs import Anchors, Side, Truth

_LARGEST_THRESHOLD = 4.0
"""Standard deviations; a pathway that is on in fewer than 1 of 30,000 spots is never on."""


def is_active(
  activity: Float[Array, "spot pathway"],
  measured: Bool[Array, "spot pathway"],
  *,
  threshold: float,
) -> Bool[Array, "spot pathway"]:
  """Pathways that are on: activity above `threshold` standard deviations of the section."""
  return measured & (activity > threshold)


def log_probabilities(
  embedding: Float[Array, "spot width"],
  anchors: Float[Array, "pathway width"],
  scale: Float[Array, ""],
  measured: Bool[Array, "spot pathway"],
) -> Float[Array, "spot pathway"]:
  """Log-probability of each anchor by its similarity to the spot; 0 where not measured."""
  return masked_log_softmax(scale * (embedding @ anchors.T), measured)


def soft_target(
  activity: Float[Array, "spot pathway"],
  measured: Bool[Array, "spot pathway"],
  config: ObjectiveConfig,
) -> Float[Array, "spot pathway"]:
  """The softmax of the spot's activities over a temperature: pathways compete for a spot."""
  return masked_softmax(activity / config.activity_temperature, measured)


def indicator_target(
  activity: Float[Array, "spot pathway"],
  measured: Bool[Array, "spot pathway"],
  config: ObjectiveConfig,
) -> Float[Array, "spot pathway"]:
  """Spread evenly over the pathways that are on (`is_active`); 0 where none is."""
  on = is_active(activity, measured, threshold=config.activity_threshold).astype(jnp.float32)
  return on / jnp.maximum(on.sum(-1, keepdims=True), 1.0)


TARGETS: dict[str, Callable[..., Float[Array, "spot pathway"]]] = {
  "kl": soft_target,
  "kl_indicator": indicator_target,
}
"""`pathway_form` of the config -> what the anchor probabilities of a spot should be."""


def divergence(
  target: Float[Array, "spot pathway"], log_probability: Float[Array, "spot pathway"]
) -> Float[Array, " spot"]:
  """KL(target || anchor probabilities) in nats; 0 where the target is.

  >>> anchors, measured = jnp.eye(2), jnp.ones((1, 2), bool)
  >>> read = log_probabilities(jnp.array([[1.0, 0.0]]), anchors, jnp.float32(10.0), measured)
  >>> right, wrong = jnp.array([[1.0, 0.0]]), jnp.array([[0.0, 1.0]])
  >>> divergence(right, read).round(2), divergence(wrong, read).round(2)
  (Array([0.], dtype=float32), Array([10.], dtype=float32))
  """
  return (target * (safe_log(target) - log_probability)).sum(-1)


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

  >>> one_each = jnp.eye(2)
  >>> loss, chance, present = prototype_contrast(
  ...   one_each, one_each, one_each.astype(bool), jnp.float32(20.0)
  ... )
  >>> bool((loss < 1e-6).all()), chance.round(2), present
  (True, Array([0.69, 0.69], dtype=float32), Array([ True,  True], dtype=bool))
  """
  member = active.T.astype(image.dtype)
  present = active.any(0)
  logits = scale * (unit(member @ image) @ unit(member @ gene).T)
  allowed = jnp.broadcast_to(present[None, :], logits.shape)
  to_gene = jnp.diagonal(masked_log_softmax(logits, allowed))
  to_image = jnp.diagonal(masked_log_softmax(logits.T, allowed))
  chance = jnp.where(present, jnp.log(jnp.maximum(present.sum(dtype=jnp.float32), 1.0)), 0.0)
  return jnp.where(present, -0.5 * (to_gene + to_image), 0.0), chance, present


def anchor_separation(
  anchors: Float[Array, "pathway width"],
  overlap: Float[Array, "pathway pathway"],
  *,
  slack: float = 0.3,
) -> Float[Array, " pathway"]:
  """How far an anchor is closer to others than shared genes allow.

  Half the sum over the other anchors q of max(0, <c_p, c_q> - Jaccard_pq - slack)^2, so that the
  sum over anchors counts each two of them once.

  Args:
    overlap: shared genes over all genes of every two pathways (`hibio.pathways.jaccard`).

  >>> same, apart = jnp.array([[1.0, 0.0], [1.0, 0.0]]), jnp.eye(2)
  >>> anchor_separation(same, jnp.eye(2)).round(3), anchor_separation(apart, jnp.eye(2))
  (Array([0.245, 0.245], dtype=float32), Array([0., 0.], dtype=float32))
  """
  excess = jnp.maximum(anchors @ anchors.T - overlap - slack, 0.0) ** 2
  return 0.5 * jnp.where(jnp.eye(len(anchors), dtype=bool), 0.0, excess).sum(-1)


def _pathway(
  image: Side, gene: Side, truth: Truth, anchors: Anchors, config: ObjectiveConfig
) -> list[Values]:
  if config.pathway_form not in TARGETS:
    raise BadInputError(
      "config",
      "objectives.pathway_form",
      config.pathway_form,
      f"one of {', '.join(TARGETS)}",
      "correct the name",
    )
  _check_threshold(config.activity_threshold)
  measured = truth.measured_pathways
  target = TARGETS[config.pathway_form](truth.activity, measured, config)
  return [
    Values(
      divergence(
        target, log_probabilities(side.embedding, anchors.vectors, anchors.scale, measured)
      ),
      side.real & gene.real & measured.any(-1),  # a profile counts without its image, too
    )
    for side in (image, gene)
  ]


def _prototype(
  image: Side, gene: Side, truth: Truth, anchors: Anchors, config: ObjectiveConfig
) -> list[Values]:
  active = is_active(truth.activity, truth.measured_pathways, threshold=config.activity_threshold)
  loss, chance, present = prototype_contrast(
    image.embedding, gene.embedding, active & (image.real & gene.real)[:, None], anchors.scale
  )
  return [Values(loss, present, chance)]


def _separation(anchors: Anchors) -> list[Values]:
  loss = anchor_separation(anchors.vectors, anchors.overlap) + (anchors.offset**2).sum(-1)
  return [Values(loss, jnp.ones(loss.shape, bool))]


def _check_threshold(threshold: float) -> None:
  if not abs(threshold) <= _LARGEST_THRESHOLD:
    raise BadInputError(
      "config",
      "objectives.activity_threshold",
      f"{threshold:g} standard deviations",
      f"-{_LARGEST_THRESHOLD:g} to {_LARGEST_THRESHOLD:g}",
      "set one above which some spots of a section lie; 0.84 is a fifth of them",
    )


# Both modalities count in full: the divergences of images and profiles are added up.
PATHWAY = Objective("pathway", stage="pathway", weight=1.0, function=_pathway, combine=added)
PROTOTYPE = Objective("prototype", stage="pathway", weight=1.0, function=_prototype)
SEPARATION = Objective("separation", stage="pathway", weight=0.1, function=_separation)
