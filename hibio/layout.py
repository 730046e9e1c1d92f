"""Where arrays live while the model runs on a mesh of devices; without a mesh nothing happens here.

The axes are `data` (copies of the model), `fsdp` (each device holds a part of every matrix and
gathers the rest where it is used) and `tensor` (a matrix product is cut up). Windows of a batch are
dealt out over the first two, and all that is made of them stays there: left to itself the compiler
lets activations follow the weights, and sums them up over the devices in every layer.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float

AXES = ("data", "fsdp", "tensor")
BATCH_AXES = ("data", "fsdp")
BATCH = PartitionSpec(BATCH_AXES)
REPLICATED = PartitionSpec()

RULES: tuple[tuple[str, PartitionSpec], ...] = (
  # The last axes of every array whose path ends so; axes before them (scanned depth) stay whole.
  (r"(qkv|up|query|key|value)/kernel$", PartitionSpec("fsdp", "tensor")),
  (r"(qkv|up|query|key|value)/bias$", PartitionSpec("tensor")),
  (r"(out|down)/kernel$", PartitionSpec("tensor", "fsdp")),
  # Small beside the rest, and used where nothing gathers them.
  (r"(stem|convolution_\d+)/kernel$", REPLICATED),
  (r"kernel$", PartitionSpec("fsdp", None)),
  # By width: the length of a panel seldom divides.
  (r"gene_table/embedding$", PartitionSpec(None, "fsdp")),
  (r"", REPLICATED),
)
"""First match wins. The optimizer's moments carry the names of their parameters."""


def spec_of(path: str, shape: Sequence[int], sizes: Mapping[str, int]) -> PartitionSpec:
  """How the array named `path` is cut up; an axis that does not divide evenly stays whole.

  Args:
    sizes: of the mesh, along each of its axes.
  """
  spec = next(spec for pattern, spec in RULES if re.search(pattern, path))
  if len(shape) < len(spec):
    return REPLICATED
  names = (None,) * (len(shape) - len(spec)) + tuple(spec)
  kept = [
    name if name is not None and size % sizes[name] == 0 else None
    for name, size in zip(names, shape, strict=True)
  ]
  return PartitionSpec(*kept) if any(kept) else REPLICATED


def on(mesh: Mesh) -> AbstractContextManager[None]:
  """Inside, and inside of what is traced there, arrays are laid out on that mesh."""
  return jax.sharding.use_abstract_mesh(mesh.abstract_mesh)


def dealt_out(tree: Any) -> Any:
  """The same arrays, their first axis (windows, or spots window by window) over the batch axes."""
  if math.prod(_sizes().values()) == 1:
    return tree
  return jax.tree.map(lambda leaf: jax.lax.with_sharding_constraint(leaf, BATCH), tree)


def whole(tree: Any) -> Any:
  """Arrays that were dealt out, whole on every device; gradients go back to where they lie."""
  if parts() == 1:
    return tree

  def gathered(leaf):
    if jnp.issubdtype(leaf.dtype, jnp.floating):
      return _gathered(leaf, BATCH, REPLICATED)
    return jax.lax.with_sharding_constraint(leaf, REPLICATED)

  return jax.tree.map(gathered, tree)


def gathered(weight: Float[Array, "*dims"], path: Sequence[str]) -> Float[Array, "*dims"]:
  """A parameter as it is used: whole but for what `tensor` cuts; its gradient goes back in parts.

  Args:
    weight: in the type that is computed with, so that no more bytes than needed are sent.
    path: names of the modules around it, and its own.
  """
  at_rest = spec_of("/".join(path), weight.shape, _sizes())
  if parts() == 1 or at_rest == REPLICATED:
    return weight
  in_use = PartitionSpec(*(None if name == "fsdp" else name for name in at_rest))
  return _gathered(weight, at_rest, in_use)


def by_rows(
  function: Callable[[Any, Any], Any], rows: Any, others: Any = (), out: Any = BATCH
) -> Any:
  """`function(rows, others)`, by each device of its own rows; nothing is sent while it works.

  Args:
    rows: arrays of windows, or of spots window by window (the first axis).
    others: arrays that the function looks at as a whole.
    out: where what comes out lies: `BATCH` for rows, `REPLICATED` for what `summed` and `highest`
      have made the same on all devices.
  """
  if parts() == 1:
    return function(rows, others)
  mapped = jax.shard_map(function, in_specs=(BATCH, REPLICATED), out_specs=out, check_vma=False)
  return mapped(rows, others)


def summed(values: Float[Array, "*dims"]) -> Float[Array, "*dims"]:
  """Inside of `by_rows`: the sum over the devices."""
  return jax.lax.psum(values, BATCH_AXES) if _by_rows() else values


def highest(values: Float[Array, "*dims"]) -> Float[Array, "*dims"]:
  """Inside of `by_rows`: the largest of all devices."""
  return jax.lax.pmax(values, BATCH_AXES) if _by_rows() else values


def parts() -> int:
  """Devices that a batch is dealt out over."""
  sizes = _sizes()
  return math.prod(sizes[axis] for axis in BATCH_AXES)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _gathered(weight, at_rest: PartitionSpec, in_use: PartitionSpec):
  del at_rest
  return jax.lax.with_sharding_constraint(weight, in_use)


_gathered.defvjp(
  lambda weight, at_rest, in_use: (_gathered(weight, at_rest, in_use), None),
  lambda at_rest, in_use, _, gradient: (jax.lax.with_sharding_constraint(gradient, at_rest),),
)


def _sizes() -> Mapping[str, int]:
  """Of the mesh that is laid out on, along each of its axes; of one device without a mesh."""
  return dict.fromkeys(AXES, 1) | jax.sharding.get_abstract_mesh().shape


def _by_rows() -> bool:
  return bool(jax.sharding.get_abstract_mesh().manual_axes)
