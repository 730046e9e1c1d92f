"""A mesh of devices, and parameters, batches and tables put on it; `hibio.layout` has the rules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding

from data_pipelines.problems import BadInputError
from hibio.layout import AXES, BATCH, BATCH_AXES, REPLICATED, spec_of


def make_mesh(shape: Sequence[int], devices: Sequence[jax.Device] | None = None) -> Mesh:
  """Devices along `AXES`; one size may be -1 and takes what is left.

  Raises:
    BadInputError: more devices than there are, or sizes that do not go into them.
  """
  devices, sizes = jax.devices() if devices is None else devices, list(shape)
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
  spanned = {device.process_index for device in used}
  if used[0] in jax.devices() and spanned != set(range(jax.process_count())):
    raise BadInputError(
      "config",
      "training.mesh",
      f"{tuple(shape)} for {len(devices)} devices of {jax.process_count()} processes",
      "devices of all processes",
      "write (-1, 1, 1), or sizes whose product is the number of devices",
    )
  return jax.make_mesh(tuple(sizes), AXES, axis_types=(AxisType.Auto,) * len(AXES), devices=used)


def shardings(tree: Any, mesh: Mesh) -> Any:
  """The sharding of every array (or shape) of a tree, by its path and `hibio.layout.RULES`."""

  def of_leaf(path, leaf):
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    return NamedSharding(mesh, spec_of(name, leaf.shape, mesh.shape))

  return jax.tree_util.tree_map_with_path(of_leaf, tree)


def replicate(tree: Any, mesh: Mesh) -> Any:
  """The same arrays, whole on every device."""
  return jax.device_put(tree, NamedSharding(mesh, REPLICATED))


def put_batch(batch: Any, mesh: Mesh) -> Any:
  """A batch on the devices, its first axis (windows) dealt out; each process gives its own part."""
  sharding = NamedSharding(mesh, BATCH)
  return jax.tree.map(lambda leaf: jax.make_array_from_process_local_data(sharding, leaf), batch)


def own_rows(windows_per_batch: int, mesh: Mesh) -> list[int]:
  """The windows of a batch that this process's devices hold; all, where others hold them too."""
  parts = mesh.devices.reshape(-1, mesh.shape["tensor"])
  length = windows_per_batch // len(parts)
  mine = [
    part
    for part, devices in enumerate(parts)
    if any(device.process_index == jax.process_index() for device in devices)
  ]
  return [part * length + row for part in mine for row in range(length)]


def on_this_process(tree: Any) -> Any:
  """The same arrays, readable by this process alone."""

  def here(leaf):
    if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable:
      return leaf
    if leaf.is_fully_replicated:
      return np.asarray(leaf)
    return multihost_utils.process_allgather(leaf, tiled=True)

  return jax.tree.map(here, tree)


def check_divisible(windows_per_batch: int, mesh: Mesh) -> None:
  """Refuses a batch that cannot be dealt out evenly.

  Raises:
    BadInputError: names the nearest sizes that can.
  """
  parts = math.prod(mesh.shape[axis] for axis in BATCH_AXES)
  if windows_per_batch % parts:
    below, above = windows_per_batch // parts * parts, -(-windows_per_batch // parts) * parts
    raise BadInputError(
      "config",
      "training.windows_per_batch",
      f"{windows_per_batch} on a mesh with data x fsdp = {parts}",
      f"a multiple of {parts}",
      f"write {f'{below} or ' if below else ''}{above}, or another training.mesh",
    )
