"""Level 1: a spot's image and its profile find each other among the spots of the batch.

All functions keep to one rule about candidates: an invalid pair is neither anchor nor candidate,
and a spot of the same section within the radius is no negative, because it often looks and reads
the same. Rows may be worked on in blocks (`hibio.blocks`); memory is then block x N.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hibio.blocks import map_rows
from hibio.masked import masked_softmax
from hibio.neighbours import near


class Pairs(NamedTuple):
  """The spots of a batch in one row.

  Attributes:
    image: unit-norm image embeddings.
    gene: unit-norm gene embeddings.
    valid: both are real.
    positions_um: spot centres.
    section: section of each spot.
  """

  image: Float[Array, "pair width"]
  gene: Float[Array, "pair width"]
  valid: Bool[Array, " pair"]
  positions_um: Float[Array, "pair 2"]
  section: Int[Array, " pair"]


def info_nce(
  pairs: Pairs,
  scale: Float[Array, ""],
  bias: Float[Array, ""],
  *,
  neighbour_radius_um: float,
  soft_target_share: float,
  soft_target_temperature: float,
  block: int | None = None,
) -> tuple[Float[Array, " pair"], Float[Array, " pair"]]:
  """Symmetric cross-entropy of each pair against its candidates, and what guessing gives.

  The target of image i is profile i with weight 1 - share; the rest goes to candidates that are
  like i, by the mean of both modalities' similarities. Guessing gives the log of the number of
  candidates.

  Args:
    bias: not used; a softmax does not see it.

  References:
    van den Oord et al. 2018, arXiv:1807.03748; soft targets after BLEEP (Xie et al. 2023).
  """
  del bias

  def row(one):
    index, pair = one
    allowed = _candidates(index, pair, pairs, neighbour_radius_um)
    target = _target(index, pair, pairs, allowed, soft_target_share, soft_target_temperature)

    def cross_entropy(logits):
      # The target sums to 1 over what is allowed, so log-sum-exp can stand outside of the sum.
      return jax.nn.logsumexp(logits, where=allowed) - target @ logits

    to_gene = cross_entropy(scale * (pairs.gene @ pair.image))
    to_image = cross_entropy(scale * (pairs.image @ pair.gene))
    chance = jnp.log(allowed.sum(dtype=jnp.float32))
    return _valid_only(pair.valid, 0.5 * (to_gene + to_image), chance)

  return map_rows(row, (jnp.arange(pairs.valid.size), pairs), block)


def sigmoid(
  pairs: Pairs,
  scale: Float[Array, ""],
  bias: Float[Array, ""],
  *,
  neighbour_radius_um: float,
  soft_target_share: float,
  soft_target_temperature: float,
  block: int | None = None,
) -> tuple[Float[Array, " pair"], Float[Array, " pair"]]:
  """Sum over candidates of each pair's yes-or-no cross-entropies, and what guessing gives.

  Every image asks every profile "are you mine?"; the soft targets of `info_nce` are the
  probabilities of a yes. The mean over pairs is symmetric in the two modalities. Guessing says yes
  to one in n candidates: log(n) + (n - 1) log(n / (n - 1)).

  References:
    Zhai et al. 2023, arXiv:2303.15343.
  """

  def row(one):
    index, pair = one
    allowed = _candidates(index, pair, pairs, neighbour_radius_um)
    target = _target(index, pair, pairs, allowed, soft_target_share, soft_target_temperature)
    logits = scale * (pairs.gene @ pair.image) + bias
    loss = jnp.where(allowed, jax.nn.softplus(logits) - target * logits, 0.0).sum()
    count = allowed.sum(dtype=jnp.float32)
    others = count - 1.0
    chance = jnp.log(count) + others * jnp.log(count / jnp.maximum(others, 1.0))
    return _valid_only(pair.valid, loss, jnp.where(others > 0, chance, 0.0))

  return map_rows(row, (jnp.arange(pairs.valid.size), pairs), block)


CONTRASTS = {"info_nce": info_nce, "sigmoid": sigmoid}
"""How pairs are told apart; each returns (loss, loss of guessing) of every pair."""


def accuracy(
  pairs: Pairs,
  *,
  neighbour_radius_um: float,
  within_section: bool = False,
  block: int | None = None,
) -> tuple[Float[Array, " pair"], Float[Array, " pair"]]:
  """1 where an image is closer to its own profile than to every other candidate, and chance.

  Args:
    within_section: only spots of the same section are candidates. Stain and batch are then no help.
  """

  def row(one):
    index, pair = one
    allowed = _candidates(index, pair, pairs, neighbour_radius_um)
    if within_section:
      allowed &= pairs.section == pair.section
    similarity = pairs.gene @ pair.image
    own = jnp.arange(pairs.valid.size) == index
    # Strictly closer: embeddings that have all become one find nothing.
    best_other = jnp.where(allowed & ~own, similarity, -jnp.inf).max()
    hit = (similarity[index] > best_other).astype(jnp.float32)
    return _valid_only(pair.valid, hit, 1.0 / allowed.sum(dtype=jnp.float32))

  return map_rows(row, (jnp.arange(pairs.valid.size), pairs), block)


def masked_share(
  pairs: Pairs, *, neighbour_radius_um: float, block: int | None = None
) -> Float[Array, " pair"]:
  """Share of the other valid spots that are no negatives of a spot because they lie close by."""

  def row(one):
    index, pair = one
    others = pairs.valid.sum(dtype=jnp.float32) - 1.0
    allowed = _candidates(index, pair, pairs, neighbour_radius_um)
    share = 1.0 - (allowed.sum(dtype=jnp.float32) - 1.0) / jnp.maximum(others, 1.0)
    return jnp.where(pair.valid & (others > 0), share, 0.0)

  return map_rows(row, (jnp.arange(pairs.valid.size), pairs), block)


def _candidates(index, pair: Pairs, pairs: Pairs, radius_um: float) -> Bool[Array, " pair"]:
  close = near(pair.positions_um, pair.section, pairs.positions_um, pairs.section, radius_um)
  # A spot is its own candidate even when it is invalid: no row is ever empty.
  return (pairs.valid & ~close) | (jnp.arange(pairs.valid.size) == index)


def _target(index, pair: Pairs, pairs: Pairs, allowed, share: float, temperature: float):
  alike = 0.5 * (pairs.image @ pair.image + pairs.gene @ pair.gene)
  spread = masked_softmax(jax.lax.stop_gradient(alike) / temperature, allowed)
  own = (jnp.arange(pairs.valid.size) == index).astype(spread.dtype)
  return (1.0 - share) * own + share * spread


def _valid_only(valid, *values):
  return tuple(jnp.where(valid, value, 0.0) for value in values)
