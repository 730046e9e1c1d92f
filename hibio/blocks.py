"""The same function of every row, all at once or block by block, so that N x N tables can be large.

A pair of N spots by N spots does not fit in memory when N is large, one row of it always does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax


def map_rows(function: Callable[[Any], Any], rows: Any, block: int | None = None) -> Any:
  """`function` of every row (the leading axis of each leaf of `rows`), stacked again.

  Args:
    block: rows worked on together; None for all of them. With a block only that many rows of what
      `function` makes on its way are ever held, in the backward pass too: they are made again.

  Raises:
    ValueError: the number of rows is no multiple of `block`.
  """
  if block is None:
    return jax.vmap(function)(rows)
  num_rows = jax.tree.leaves(rows)[0].shape[0]
  if num_rows % block:
    raise ValueError(f"{num_rows} rows cannot be split into blocks of {block}")

  # Rows of one block lie far apart: each device that holds a part of the rows then has a share of
  # every block, and nothing has to be moved.
  def split(leaf):
    return leaf.reshape(block, num_rows // block, *leaf.shape[1:]).swapaxes(0, 1)

  def join(leaf):
    return leaf.swapaxes(0, 1).reshape(num_rows, *leaf.shape[2:])

  mapped = jax.lax.map(jax.checkpoint(jax.vmap(function)), jax.tree.map(split, rows))
  return jax.tree.map(join, mapped)
