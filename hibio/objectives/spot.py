"""Level 1: a spot's image and its profile find each other among the spots of the batch.

All functions keep to one rule about candidates: an invalid pair is neither query nor candidate, and
spatial neighbours (spots of the same section within the radius) are excluded as negatives, because
they often look and read the same. Within a section stain and batch cannot help. With `block`, rows
of the N x N table are worked on in blocks (`hibio.pairwise`); memory is then block x N.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from data_pipelines.problems import BadInputError
from hibio.configs import ObjectiveConfig
from hibio.layout import by_rows
from hibio.objectives.base import Objective, Values
from hibio.objectives.contrast import Rule, candidates, cross_entropy
from hibio.objectives.inputs import Pairs
from hibio.pairwise import block_of, scan_rows


def info_nce(
  pairs: Pairs,
  scale: Float[Array, ""],
  *,
  neighbour_radius_um: float,
  soft_target_share: float,
  soft_target_temperature: float,
  within_section: bool = False,
  block: int | None = None,
) -> tuple[Float[Array, " pair"], Float[Array, " pair"]]:
  """Symmetric cross-entropy of each pair against its candidates, and what guessing gives.

  The target of image i is profile i with weight 1 - share; the rest goes to candidates that are
  like i, by the mean of both modalities' similarities. Guessing gives the log of the number of
  candidates.

  Args:
    scale: inverse temperature of the similarities.
    soft_target_share: of the target that is spread over similar candidates.
    soft_target_temperature: of that spread.
    within_section: only spots of the same section are candidates.

  References:
    van den Oord et al. 2018, arXiv:1807.03748; soft targets after BLEEP (Xie et al. 2023,
    arXiv:2306.01859).

  >>> vectors, far = jnp.eye(3), 1e3 * jnp.arange(6.0).reshape(3, 2)
  >>> pairs = Pairs(vectors, vectors, jnp.ones(3, bool), far, jnp.zeros(3, jnp.int32))
  >>> hard = dict(soft_target_share=0.0, soft_target_temperature=1.0)
  >>> loss, chance = info_nce(pairs, jnp.float32(0.0), neighbour_radius_um=150.0, **hard)
  >>> bool(jnp.allclose(loss, chance)) and bool(jnp.allclose(chance, jnp.log(3.0)))
  True
  >>> loss, _ = info_nce(pairs, jnp.float32(20.0), neighbour_radius_um=150.0, **hard)
  >>> bool((loss < 1e-6).all())
  True
  """

  rule = Rule(
    neighbour_radius_um, within_section, soft_target_share, soft_target_temperature, block
  )
  loss, count = cross_entropy(pairs, scale, rule)
  return _valid_only(pairs.valid, loss, jnp.log(count))


def accuracy(
  pairs: Pairs,
  *,
  neighbour_radius_um: float,
  within_section: bool = False,
  block: int | None = None,
) -> tuple[Float[Array, " pair"], Float[Array, " pair"]]:
  """1 where an image is closer to its own profile than to every other candidate, and chance.

  Args:
    within_section: only spots of the same section are candidates.
  """

  def look(index, rows, pairs):
    allowed = candidates(index, rows, pairs, neighbour_radius_um, within_section)
    similarity = rows.image @ pairs.gene.T
    own = index[:, None] == jnp.arange(pairs.valid.size)[None]
    # Strictly closer: embeddings that have all become one find nothing.
    best_other = jnp.where(allowed & ~own, similarity, -jnp.inf).max(-1)
    hit = (jnp.where(own, similarity, -jnp.inf).max(-1) > best_other).astype(jnp.float32)
    return _valid_only(rows.valid, hit, 1.0 / allowed.sum(-1, dtype=jnp.float32))

  return _by_rows(look, pairs, block)


def num_candidates(
  pairs: Pairs,
  *,
  neighbour_radius_um: float,
  within_section: bool = False,
  block: int | None = None,
) -> Float[Array, " pair"]:
  """How many each pair is told from, itself among them."""

  def count(index, rows, pairs):
    allowed = candidates(index, rows, pairs, neighbour_radius_um, within_section)
    return allowed.sum(-1, dtype=jnp.float32)

  return _by_rows(count, pairs, block)


def masked_share(
  pairs: Pairs, *, neighbour_radius_um: float, block: int | None = None
) -> Float[Array, " pair"]:
  """Share of the other valid spots that are excluded as negatives because they lie close by."""
  others = pairs.valid.sum(dtype=jnp.float32) - 1.0
  allowed = num_candidates(pairs, neighbour_radius_um=neighbour_radius_um, block=block)
  share = 1.0 - (allowed - 1.0) / jnp.maximum(others, 1.0)
  return jnp.where(pairs.valid & (others > 0), share, 0.0)


def _by_rows(function, pairs: Pairs, block: int | None):
  """`function` of some rows' numbers and pairs, and of all pairs, for all rows."""

  def own(rows, pairs):
    return scan_rows(lambda _, some: (None, function(*some, pairs)), None, rows, block)[1]

  return by_rows(own, (jnp.arange(pairs.valid.size), pairs), pairs)


def _valid_only(valid, *values):
  return tuple(jnp.where(valid, value, 0.0) for value in values)


NEGATIVES = {"batch": False, "section": True}
"""`negatives` of the config -> whether candidates lie in the spot's own section alone."""


def _spot(pairs: Pairs, scale: Float[Array, ""], config: ObjectiveConfig) -> list[Values]:
  if config.negatives not in NEGATIVES:
    raise BadInputError(
      "config",
      "objectives.negatives",
      config.negatives,
      f"one of {', '.join(NEGATIVES)}",
      "correct the name",
    )
  loss, chance = info_nce(
    pairs,
    scale,
    neighbour_radius_um=config.neighbour_radius_um,
    soft_target_share=config.soft_target_share,
    soft_target_temperature=config.soft_target_temperature,
    within_section=NEGATIVES[config.negatives],
    block=block_of(pairs.valid.size),
  )
  return [Values(loss, pairs.valid, chance)]


SPOT = Objective("spot", stage="spot", weight=1.0, function=_spot)
