"""Regions as learned prototypes: the alternative that needs no clustering between steps.

Each modality predicts which prototypes the other one is assigned to. Assignments are balanced by
Sinkhorn-Knopp, so that not all spots end up on one prototype; but tissue does not come in equal
parts, and not every section holds every tissue. So spots are balanced within their section, over
the prototypes that are open to it, and only half-way to equal parts.

Embeddings come in windows; a section's spots may lie in several windows of a batch.

References:
  Swapped prediction: Caron et al. 2020, arXiv:2006.09882. Prototypes by section: Blampey et al.
  2025, doi 10.1038/s41592-025-02899-6 (Novae).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hibio.masked import masked_log_softmax, masked_softmax, safe_log

_MASKED = -1e30


class Prototypes(NamedTuple):
  """The prototypes over the windows of a batch.

  Attributes:
    vectors: of unit norm.
    mask: spots that both modalities have; no other takes part.
    section_index: section of each window.
    allowed: prototypes that are open to a window's section.
    marginal: share of the section that each of them should get.
  """

  vectors: Float[Array, "prototype width"]
  mask: Bool[Array, "window spot"]
  section_index: Int[Array, " window"]
  allowed: Bool[Array, "window prototype"]
  marginal: Float[Array, "window prototype"]

  @property
  def places(self) -> Bool[Array, "window spot prototype"]:
    """Which spot may be assigned to which prototype."""
    return self.mask[..., None] & self.allowed[:, None]


def over_batch(
  vectors: Float[Array, "prototype width"],
  image: Float[Array, "window spot width"],
  gene: Float[Array, "window spot width"],
  mask: Bool[Array, "window spot"],
  section_index: Int[Array, " window"],
  *,
  temperature: float,
  min_share: float,
  balance: float,
) -> Prototypes:
  """The prototypes with what each section of the batch may use of them, and how much it should.

  Args:
    temperature: of `usage`.
    min_share: see `open_to`.
    balance: see `marginal`.
  """
  fixed = jax.lax.stop_gradient((image, gene, vectors))
  used = usage(*fixed, mask, section_index, temperature=temperature)
  allowed = open_to(used, min_share=min_share)
  shares = marginal(used, allowed, balance=balance)
  return Prototypes(vectors, mask, section_index, allowed, shares)


def usage(
  image: Float[Array, "window spot width"],
  gene: Float[Array, "window spot width"],
  prototypes: Float[Array, "prototype width"],
  mask: Bool[Array, "window spot"],
  section_index: Int[Array, " window"],
  *,
  temperature: float,
) -> Float[Array, "window prototype"]:
  """Share of a window's section that each prototype holds: mean probability in both modalities.

  Args:
    mask: spots that count.
  """
  everywhere = jnp.ones((*mask.shape, len(prototypes)), bool)
  probabilities = 0.5 * sum(
    masked_softmax(side @ prototypes.T / temperature, everywhere) for side in (image, gene)
  )
  same = _same_section(section_index).astype(jnp.float32)
  total = same @ jnp.where(mask[..., None], probabilities, 0.0).sum(1)
  count = same @ mask.sum(1, dtype=jnp.float32)
  return total / jnp.maximum(count, 1.0)[:, None]


def open_to(
  usage: Float[Array, "window prototype"], *, min_share: float
) -> Bool[Array, "window prototype"]:
  """Which prototypes the spots of a window may be assigned to.

  A section of the batch holds the prototypes that have at least `min_share` of an even share of it.
  A prototype is open to the sections that hold it; one that nobody holds is open to all, so that it
  is not lost.
  """
  held = usage >= min_share / max(usage.shape[1], 1)
  return held | ~held.any(0)[None, :]


def marginal(
  usage: Float[Array, "window prototype"],
  allowed: Bool[Array, "window prototype"],
  *,
  balance: float,
) -> Float[Array, "window prototype"]:
  """Share of its section that each prototype should get; sums to 1 over the allowed ones.

  Args:
    balance: 0 leaves the shares as they are, 1 makes them equal (as in SwAV). Between them a rare
      tissue may stay rare, and a prototype without spots still gets some.
  """
  even = masked_softmax(jnp.zeros_like(usage), allowed)
  kept = jnp.where(allowed, usage, 0.0)
  kept /= jnp.maximum(kept.sum(1, keepdims=True), 1e-9)
  return balance * even + (1.0 - balance) * kept


def sinkhorn(
  similarity: Float[Array, "window spot prototype"],
  prototypes: Prototypes,
  *,
  temperature: float,
  iterations: int = 3,
) -> Float[Array, "window spot prototype"]:
  """Assignments of spots to prototypes, scaled towards the shares that each section asks for.

  A spot's assignments sum to 1; over a section a prototype gets about its `marginal`, the more so
  the more iterations. 0 where a spot does not take part or a prototype is not open.
  """
  places = prototypes.places
  log_plan = jnp.where(places, similarity / temperature, _MASKED)
  same = _same_section(prototypes.section_index)[..., None]
  log_marginal = safe_log(prototypes.marginal)

  def scaled(_, log_plan):
    by_window = jax.nn.logsumexp(log_plan, axis=1)
    by_section = jax.nn.logsumexp(jnp.where(same, by_window[None], _MASKED), axis=1)
    # What is closed is as low in its sums: without the mask it would come back at each division.
    log_plan = jnp.where(places, log_plan + (log_marginal - by_section)[:, None], _MASKED)
    log_plan -= jax.nn.logsumexp(log_plan, axis=2, keepdims=True)
    return jnp.where(places, log_plan, _MASKED)

  log_plan = jax.lax.fori_loop(0, iterations, scaled, log_plan)
  return jnp.where(places, jnp.exp(log_plan), 0.0)


def assignment(
  embedding: Float[Array, "window spot width"], prototypes: Prototypes, *, temperature: float
) -> Float[Array, "window spot prototype"]:
  """Probability of each open prototype by its similarity to the spot; 0 where none is open."""
  return masked_softmax(embedding @ prototypes.vectors.T / temperature, prototypes.places)


def swapped_prediction(
  image: Float[Array, "window spot width"],
  gene: Float[Array, "window spot width"],
  prototypes: Prototypes,
  *,
  target_temperature: float,
  temperature: float,
) -> tuple[Float[Array, "window spot"], Float[Array, "window spot"]]:
  """Cross-entropy of each modality's balanced assignment under the other's prediction; and chance.

  Mean of both directions. Targets get no gradient. Guessing gives the log of the number of open
  prototypes. Both are 0 for spots that do not take part.

  Args:
    target_temperature: of the assignments that are targets; lower than that of predictions.
    temperature: of the predictions.
  """

  def one_way(seen, other):
    similarity = jax.lax.stop_gradient(other @ prototypes.vectors.T)
    target = sinkhorn(similarity, prototypes, temperature=target_temperature)
    logits = seen @ prototypes.vectors.T / temperature
    return -(target * masked_log_softmax(logits, prototypes.places)).sum(-1)

  loss = 0.5 * (one_way(image, gene) + one_way(gene, image))
  count = prototypes.places.sum(-1, dtype=jnp.float32)
  return loss, jnp.log(jnp.maximum(count, 1.0))


def _same_section(section_index: Int[Array, " window"]) -> Bool[Array, "window window"]:
  return section_index[:, None] == section_index[None, :]
