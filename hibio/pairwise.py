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
  """Rows of an N x N table to work on together; None for all of them."""
  return None if num_spots <= _LARGEST_TABLE else math.gcd(num_spots, 512)


def map_rows(function: Callable[[Any], Any], rows: Any, block: int | None = None) -> Any:
  """`function` of every row (the leading axis of each leaf of `rows`), stacked again.

  Args:
    block: rows worked on together; None for all of them. With a block, intermediate values of only
      that many rows are held at once, in the backward pass too, where they are recomputed.

  Raises:
    ValueError: the number of rows is not a multiple of `block`.
  """
  if block is None:
    return jax.vmap(function)(rows)
  return _joined(jax.lax.map(jax.checkpoint(jax.vmap(function)), _split(rows, block)))


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
  """Rows in blocks. Those of one block lie far apart.

  Each device that holds a part of the rows then has a share of every block, and nothing has to be
  moved.
  """
  num_rows = jax.tree.leaves(rows)[0].shape[0]
  if num_rows % block:
    raise ValueError(f"{num_rows} rows cannot be split into blocks of {block}")

  def split(leaf):
    return leaf.reshape(block, num_rows // block, *leaf.shape[1:]).swapaxes(0, 1)

  return jax.tree.map(split, rows)


def _joined(blocks: Any) -> Any:
  def join(leaf):
    return leaf.swapaxes(0, 1).reshape(-1, *leaf.shape[2:])

  return jax.tree.map(join, blocks)
