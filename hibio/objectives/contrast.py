"""The symmetric contrast of N pairs, exact, with tables of a few rows at a time.

One table of similarities serves both directions: its rows are images that look for their profile,
its columns profiles that look for their image. The way forward keeps a few numbers of each row and
column; the way back makes every block of rows once more from them.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hibio.layout import BATCH, REPLICATED, by_rows, highest, summed
from hibio.nn.attention import MASKED
from hibio.objectives.inputs import Pairs
from hibio.pairwise import near, scan_rows


class Rule(NamedTuple):
  """Who is told from whom, and what is right.

  Attributes:
    radius_um: spots of one section closer than this are not told from each other.
    within_section: only spots of the same section are told from each other.
    share: of the target that is spread over candidates that are alike.
    temperature: of that spread.
    block: rows worked on together; None for all of them.
  """

  radius_um: float
  within_section: bool
  share: float
  temperature: float
  block: int | None


def candidates(
  index: Int[Array, " row"], rows: Pairs, pairs: Pairs, radius_um: float, within_section: bool
) -> Bool[Array, "row pair"]:
  """Which pairs a row is told from, itself among them: no row is ever empty.

  The table is symmetric: an invalid pair is candidate and row of itself alone.
  """
  close = jax.vmap(lambda *one: near(*one, pairs.positions_um, pairs.section, radius_um))
  allowed = ~close(rows.positions_um, rows.section) & rows.valid[:, None] & pairs.valid[None]
  if within_section:
    allowed &= rows.section[:, None] == pairs.section[None]
  return allowed | (index[:, None] == jnp.arange(pairs.valid.size)[None])


def cross_entropy(
  pairs: Pairs, scale: Float[Array, ""], rule: Rule
) -> tuple[Float[Array, " pair"], Float[Array, " pair"]]:
  """The mean of both directions' cross-entropies of each pair, and its number of candidates.

  What an invalid pair gets means nothing. The spread of the target is a constant to the gradient.

  Args:
    pairs: with unit-norm embeddings.
    scale: inverse temperature.
  """
  places = pairs.valid, pairs.positions_um, pairs.section
  # What lies in padding need not be of unit norm, and its exponential not finite.
  image, gene = (jnp.where(pairs.valid[:, None], side, 0.0) for side in (pairs.image, pairs.gene))
  return _cross_entropy(image, gene, scale, places, rule)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _cross_entropy(image, gene, scale, places, rule: Rule):
  return _forward(image, gene, scale, places, rule)[0]


def _forward(image, gene, scale, places, rule: Rule):
  pairs = Pairs(image, gene, *places)

  def look(rows, others):
    pairs, scale = others

    def add(columns, rows):
      """Log-sum-exps of whole rows, and those of the columns as far as they are known."""
      before, total, mixed = columns
      allowed, similarity, spread = _tables(*rows, pairs, rule)
      logits = jnp.where(allowed, scale * similarity, MASKED)
      higher = jnp.maximum(before, logits.max(0))
      total = total * jnp.exp(before - higher) + jnp.exp(logits - higher[None]).sum(0)
      weighed = spread * scale * similarity
      found = jax.nn.logsumexp(logits, axis=1), allowed.sum(1), spread.sum(1), weighed.sum(1)
      return (higher, total, mixed + weighed.sum(0)), found

    none = jnp.zeros(len(pairs.image), pairs.image.dtype)
    columns, found = scan_rows(add, (none + MASKED, none, none), rows, rule.block)
    higher = highest(columns[0])
    total = summed(columns[1] * jnp.exp(columns[0] - higher))
    return (higher + jnp.log(total), summed(columns[2])), found

  columns, found = by_rows(look, _rows(pairs), (pairs, scale), (REPLICATED, BATCH))
  (log_column, mixed_column), (log_row, count, whole, mixed_row) = columns, found
  own = scale * (image * gene).sum(-1)
  right = (1.0 - rule.share) * own
  if rule.share:
    right += 0.5 * rule.share * (mixed_row + mixed_column) / whole
  loss = 0.5 * (log_row + log_column) - right
  kept = image, gene, scale, places, log_row, log_column, whole
  return (loss, count.astype(jnp.float32)), kept


def _backward(rule: Rule, kept, gradients):
  image, gene, scale, places, log_row, log_column, whole = kept
  pairs, of_loss = Pairs(image, gene, *places), gradients[0]

  def look(rows, others):
    pairs, scale, half, log_column, whole = others

    def add(sums, rows):
      to_gene, to_scale = sums
      index, own, own_half, own_log, own_whole = rows
      allowed, similarity, spread = _tables(index, own, pairs, rule)
      logits = jnp.where(allowed, scale * similarity, MASKED)
      weight = own_half[:, None] * jnp.exp(logits - own_log[:, None])
      weight += half[None] * jnp.exp(logits - log_column[None])
      if rule.share:
        weight -= rule.share * spread * ((own_half / own_whole)[:, None] + (half / whole)[None])
      to_gene += _product(weight.T, own.image)
      return (to_gene, to_scale + (weight * similarity).sum()), _product(weight, pairs.gene)

    begin = jnp.zeros_like(pairs.gene), jnp.zeros_like(scale)
    sums, to_image = scan_rows(add, begin, rows, rule.block)
    return jax.tree.map(summed, sums), to_image

  half = 0.5 * of_loss
  rows, others = (*_rows(pairs), half, log_row, whole), (pairs, scale, half, log_column, whole)
  (to_gene, to_scale), to_image = by_rows(look, rows, others, (REPLICATED, BATCH))
  right = (1.0 - rule.share) * of_loss
  to_image = scale * (to_image - right[:, None] * gene)
  to_gene = scale * (to_gene - right[:, None] * image)
  return to_image, to_gene, to_scale - (right * (image * gene).sum(-1)).sum(), None


_cross_entropy.defvjp(_forward, _backward)


def _rows(pairs: Pairs):
  return jnp.arange(pairs.valid.size), pairs


def _tables(index, rows: Pairs, pairs: Pairs, rule: Rule):
  """Candidates, similarities and the spread target before it is divided by its sum.

  How alike two pairs are is the mean of both modalities' similarities, at most that of a pair with
  itself; so the spread is symmetric, and needs no maximum to be safe.
  """
  allowed = candidates(index, rows, pairs, rule.radius_um, rule.within_section)
  similarity = _product(rows.image, pairs.gene.T)
  if not rule.share:
    return allowed, similarity, jnp.zeros_like(similarity)
  both, all_both = (jnp.concatenate([of.image, of.gene], axis=-1) for of in (rows, pairs))
  less = 0.5 * _product(both, all_both.T) - 1.0
  return allowed, similarity, jnp.where(allowed, jnp.exp(less / rule.temperature), 0.0)


def _product(left, right):
  # In full: on accelerators the default rounds to fewer bits, and all this is little of a step.
  return jnp.matmul(left, right, precision="highest")
