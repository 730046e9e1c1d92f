"""Every spot of a batch against all others: who lies close, and tables of N x N row by row.

One rule of closeness serves excluded negatives, touching regions, smoothness and surroundings.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hibio import layout

_LARGEST_TABLE = 4096
"""Spots whose N x N similarities are held at once (64 MB each); more are worked on in blocks."""


def near(
  position_um: Float[Array, "2"],
  section: Int[Array, ""],
  positions_um: Float[Array, "spot 2"],
  sections: Int[Array, " spot"],
  radius_um: float,
) -> Bool[Array, " spot"]:
  """Spots of the same section closer than `radius_um`; a spot is near itself."""
  # No expansion of the square: coordinates reach 1e5 um, and float32 would lose the difference.
  across, down = positions_um.T - position_um[:, None]
  return (across**2 + down**2 < radius_um**2) & (sections == section)


def mean_within(
  values: Float[Array, "window spot column"],
  positions_um: Float[Array, "window spot 2"],
  known: Bool[Array, "window spot"],
  *,
  radius_um: float,
) -> Float[Array, "window spot column"]:
  """The mean over the spots of the window within `radius_um`, itself too; 0 where there are none.

  Args:
    known: spots whose values are real; the others enter no mean.
  """
  offsets = positions_um[:, :, None] - positions_um[:, None]
  weight = (((offsets**2).sum(-1) < radius_um**2) & known[:, None]).astype(values.dtype)
  return weight @ values / jnp.maximum(weight.sum(-1, keepdims=True), 1.0)


def blended(
  values: Float[Array, "window spot column"],
  positions_um: Float[Array, "window spot 2"],
  known: Bool[Array, "window spot"],
  *,
  radius_um: float,
  share: float,
) -> Float[Array, "window spot column"]:
  """Each spot's values, of which `share` is the mean over the spots within `radius_um`, itself too.

  The counts of one spot are mostly noise, those of its neighbourhood much less so; what differs
  between a spot and its neighbours stays in the rest.

  Args:
    known: spots whose values are real; the others enter no mean.
  """
  mean = mean_within(values, positions_um, known, radius_um=radius_um)
  return jnp.where(known[..., None], (1.0 - share) * values + share * mean, values)


def block_of(num_spots: int) -> int | None:
  """Rows of an N x N table that a device works on together; None for all that it has."""
  return None if num_spots <= _LARGEST_TABLE else math.gcd(num_spots // layout.parts(), 512)


def map_rows(
  function: Callable[[Any, Any], Any], rows: Any, others: Any, block: int | None = None
) -> Any:
  """`function(row, others)` of every row (the leading axis of each leaf), stacked again.

  On a mesh of devices each works on its own rows.

  Args:
    others: arrays that every row is held against.
    block: rows worked on together; None for all of them. With a block, intermediate values of only
      that many rows are held at once, in the backward pass too, where they are recomputed.

  Raises:
    ValueError: the number of rows is not a multiple of `block`.
  """
  every = jax.vmap(function, (0, None))

  def own(rows, others):
    if block is None:
      return every(rows, others)
    some = jax.checkpoint(lambda rows: every(rows, others))
    return _joined(jax.lax.map(some, _split(rows, block)))

  return layout.by_rows(own, rows, others)


def scan_rows(
  function: Callable[[Any, Any], tuple[Any, Any]], carry: Any, rows: Any, block: int | None = None
) -> tuple[Any, Any]:
  """(last carry, results of all rows) of a function of a carry and of some rows at a time.

  Args:
    block: rows worked on together; None for all of them.

  Raises:
    ValueError: the number of rows is not a multiple of `block`.
  """
  if block is None:
    return function(carry, rows)
  carry, found = jax.lax.scan(function, carry, _split(rows, block))
  return carry, _joined(found)


def _split(rows: Any, block: int) -> Any:
  num_rows = jax.tree.leaves(rows)[0].shape[0]
  if num_rows % block:
    raise ValueError(f"{num_rows} rows cannot be split into blocks of {block}")

  return jax.tree.map(lambda leaf: leaf.reshape(-1, block, *leaf.shape[1:]), rows)


def _joined(blocks: Any) -> Any:
  return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), blocks)
