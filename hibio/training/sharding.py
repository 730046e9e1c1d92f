"""Where each array lives: a mesh of devices, and rules from parameter names to its axes.

The axes are `data` (copies of the model), `fsdp` (each device holds a part of every matrix and
gathers the rest when it is needed) and `tensor` (a matrix product is cut up). Windows of a batch
are dealt out over the first two. Nothing in the model knows of this.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import jax
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from data_pipelines.problems import BadInputError

AXES = ("data", "fsdp", "tensor")
BATCH = PartitionSpec(("data", "fsdp"))
REPLICATED = PartitionSpec()

RULES: tuple[tuple[str, PartitionSpec], ...] = (
  # The last axes of every array whose path ends so; axes before them (scanned depth) stay whole.
  (r"(qkv|up|query|key|value)/kernel$", PartitionSpec("fsdp", "tensor")),
  (r"(qkv|up|query|key|value)/bias$", PartitionSpec("tensor")),
  (r"(out|down)/kernel$", PartitionSpec("tensor", "fsdp")),
  (r"kernel$", PartitionSpec("fsdp", None)),
  # By width: the length of a panel seldom divides.
  (r"gene_table/embedding$", PartitionSpec(None, "fsdp")),
  (r"", REPLICATED),
)
"""First match wins. The optimizer's moments carry the names of their parameters."""


def make_mesh(shape: Sequence[int]) -> Mesh:
  """Devices along `AXES`; one size may be -1 and takes what is left.

  Raises:
    BadInputError: more devices than there are, or sizes that do not go into them.
  """
  devices, sizes = jax.devices(), list(shape)
  fixed = math.prod(size for size in sizes if size != -1)
  if sizes.count(-1) == 1 and fixed > 0 and len(devices) % fixed == 0:
    sizes[sizes.index(-1)] = len(devices) // fixed
  if len(sizes) != len(AXES) or min(sizes) < 1 or math.prod(sizes) > len(devices):
    raise BadInputError(
      "config",
      "training.mesh",
      f"{tuple(shape)} on {len(devices)} device(s)",
      f"sizes of ({', '.join(AXES)}) that fit them",
      "write (-1, 1, 1) to use all devices for data",
    )
  used = devices[: math.prod(sizes)]
  return jax.make_mesh(tuple(sizes), AXES, axis_types=(AxisType.Auto,) * len(AXES), devices=used)


def spec_of(path: str, shape: Sequence[int], mesh: Mesh) -> PartitionSpec:
  """How the array named `path` is cut up; an axis that does not divide evenly stays whole."""
  spec = next(spec for pattern, spec in RULES if re.search(pattern, path))
  if len(shape) < len(spec):
    return REPLICATED
  names = (None,) * (len(shape) - len(spec)) + tuple(spec)
  kept = [
    name if name is not None and size % mesh.shape[name] == 0 else None
    for name, size in zip(names, shape, strict=True)
  ]
  return PartitionSpec(*kept) if any(kept) else REPLICATED


def shardings(tree: Any, mesh: Mesh) -> Any:
  """The sharding of every array (or shape) of a tree, by its path and `RULES`."""

  def of_leaf(path, leaf):
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    return NamedSharding(mesh, spec_of(name, leaf.shape, mesh))

  return jax.tree_util.tree_map_with_path(of_leaf, tree)


def replicate(tree: Any, mesh: Mesh) -> Any:
  """The same arrays, whole on every device."""
  return jax.device_put(tree, NamedSharding(mesh, REPLICATED))


def put_batch(batch: Any, mesh: Mesh) -> Any:
  """A batch on the devices, its first axis (windows) dealt out; each process gives its own part."""
  sharding = NamedSharding(mesh, BATCH)
  return jax.tree.map(lambda leaf: jax.make_array_from_process_local_data(sharding, leaf), batch)


def on_this_process(tree: Any) -> Any:
  """The same arrays, readable by this process alone."""
  if jax.process_count() == 1:
    return tree
  return multihost_utils.process_allgather(tree, tiled=True)


def check_divisible(windows_per_batch: int, mesh: Mesh) -> None:
  """Refuses a batch that cannot be dealt out evenly.

  Raises:
    BadInputError: names the nearest sizes that can.
  """
  parts = mesh.shape["data"] * mesh.shape["fsdp"]
  if windows_per_batch % parts:
    below, above = windows_per_batch // parts * parts, -(-windows_per_batch // parts) * parts
    raise BadInputError(
      "config",
      "training.windows_per_batch",
      f"{windows_per_batch} on a mesh with data x fsdp = {parts}",
      f"a multiple of {parts}",
      f"write {f'{below} or ' if below else ''}{above}, or another training.mesh",
    )
