"""What a training step holds and sends on many devices, by compiling it ahead of time.

  python -m experiments.benchmarks.scale
  python -m experiments.benchmarks.scale --sizes=L --devices=8,256 --compilers=cpu,v5e,v5p,v6e

Nothing is executed and no device is needed: one process a row compiles for devices that the
processor pretends to have or, where `libtpu` is installed, for those of a TPU slice. State is
parameters and moments; temporaries are what the compiler sets aside beside them; sent are the
bytes of all collectives of a step (`experiments.benchmarks.collectives`). All on one device.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Sequence

import jax
import numpy as np

from data_pipelines import console, entry
from data_pipelines.problems import BadInputError
from experiments.benchmarks.collectives import collectives, num_bytes
from experiments.hibio import get_config
from hibio import forward, layout
from hibio.batch import Batch, SectionStatistics, Tables
from hibio.model import HiBio
from hibio.pretraining import parts
from hibio.training import sharding, state
from hibio.training.optimizer import make_optimizer
from hibio.training.step import make_train_step

FLAGS = entry.Flags(__doc__)
_SIZES = FLAGS.list("sizes", "S,B,L", "Sizes of the model, of `hibio.configs.SIZES`")
_DEVICES = FLAGS.list("devices", "1,8,64,256", "Numbers of devices")
_COMPILERS = FLAGS.list("compilers", "cpu,v5e,v5p,v6e", "cpu, or generations of TPU")
_GENES = FLAGS.integer("genes", 18_000, "Genes of the panel")
_PATHWAYS = FLAGS.integer("pathways", 1_000, "Gene sets")
_SPOTS = FLAGS.integer("spots", 128, "Spots a device, in windows of 64", lower_bound=64)
_ROW = FLAGS.bool("row", False, "Compile the first of each list in this process, print JSON")

PRESETS = {"S": "small", "B": "base", "L": "large"}
WINDOW_SPOTS = 64
MESHES = {"1": (1, 1, 1), "8": (1, 8, 1), "64": (8, 8, 1), "256": (32, 8, 1)}
"""Number of devices -> sizes of (data, fsdp, tensor): eight share one copy of the model."""

_QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
"""Machine code that nobody will run; what is held and sent is settled before it is made."""

SLICES = {
  "v5e": {"1": "2x2", "8": "2x4", "64": "8x8", "256": "16x16"},
  "v5p": {"1": "2x2x1", "8": "2x2x2", "64": "4x4x4", "256": "4x8x8"},
  "v6e": {"1": "2x2", "8": "2x4", "64": "8x8", "256": "16x16"},
}
"""The smallest slice with so many chips, by generation of TPU."""


def main() -> None:
  _check(_SIZES, PRESETS)
  _check(_DEVICES, MESHES)
  _check(_COMPILERS, ("cpu", *SLICES))
  if _ROW.value:
    print(json.dumps(row(_SIZES.value[0], _DEVICES.value[0], _COMPILERS.value[0])))
    return
  print("| size | mesh (data, fsdp, tensor) | compiler | state GB | temporaries GB | sent GB | s |")
  print("|---|---|---|---|---|---|---|")
  for compiler in _COMPILERS.value:
    if compiler != "cpu" and importlib.util.find_spec("libtpu") is None:
      print(f"{compiler}: not compiled, libtpu is not installed (pip install 'jax[tpu]')")
      continue
    for size, devices in itertools.product(_SIZES.value, _DEVICES.value):
      print(_line(size, devices, compiler), flush=True)


def row(size: str, devices: str, compiler: str) -> dict[str, float]:
  """GB of one device, and seconds to compile."""
  chips = None if compiler == "cpu" else _of_slice(compiler, devices)
  mesh = sharding.make_mesh(MESHES[devices], chips)
  begun = time.monotonic()
  step, now, batch, tables = abstract_step(
    get_config(PRESETS[size]),
    mesh,
    windows=int(devices) * _SPOTS.value // WINDOW_SPOTS,
    genes=_GENES.value,
    pathways=_PATHWAYS.value,
  )
  compiled = step.lower(now, batch, tables).compile(_QUICK if compiler == "cpu" else None)
  return {
    "state": sum(map(_shard_bytes, jax.tree.leaves(now))) / 1e9,
    "temporaries": compiled.memory_analysis().temp_size_in_bytes / 1e9,
    "sent": num_bytes(collectives(compiled.as_text())) / 1e9,
    "seconds": time.monotonic() - begun,
  }


def _check(flag, known) -> None:
  for value in flag.value:
    if value not in known:
      expected = f"one of {', '.join(known)}"
      raise BadInputError(f"--{flag.name}", "value", value, expected, "correct it")


def abstract_step(
  config, mesh: jax.sharding.Mesh, *, windows: int, genes: int, pathways: int, sections: int = 8
):
  """The training step of a config, jitted, and shapes and layout of what it is called with."""
  model_config, objectives, training = parts(config)
  batch = _batch(windows, model_config.patch_px, genes)
  tables = _tables(sections, genes, pathways, windows * WINDOW_SPOTS)
  model, optimizer = HiBio(model_config, genes), make_optimizer(training)
  params = jax.eval_shape(
    functools.partial(forward.initial_params, model, seed=training.seed), batch, tables
  )
  now = state.abstract(params, optimizer, mesh)
  step = make_train_step(
    forward=forward.for_training(model, training.augmentation),
    total=forward.loss(objectives, training.shuffle_pairs),
    optimizer=optimizer,
    base_weights=dict(objectives.weights),
    config=training,
    mesh=mesh,
    state=now,
  )
  batch, tables = _placed(batch, mesh, layout.BATCH), _placed(tables, mesh, layout.REPLICATED)
  return jax.jit(step, donate_argnums=0), now, batch, tables


def _placed(tree, mesh: jax.sharding.Mesh, spec: jax.sharding.PartitionSpec):
  place = jax.NamedSharding(mesh, spec)
  return jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place), tree
  )


def _batch(windows: int, patch_px: int, genes: int) -> Batch:
  shape = (windows, WINDOW_SPOTS)
  mask = _array(bool, *shape)
  return Batch(
    patches=_array(np.uint8, *shape, patch_px, patch_px, 3),
    counts=_array(np.int32, *shape, genes),
    positions_um=_array(np.float32, *shape, 2),
    spot_mask=mask,
    has_patch=mask,
    has_counts=mask,
    section_index=_array(np.int32, windows),
    spot_index=_array(np.int32, *shape),
  )


def _tables(sections: int, genes: int, pathways: int, spots: int) -> Tables:
  of_genes, of_pathways = (_array(np.float32, sections, size) for size in (genes, pathways))
  everywhere = _array(np.float32, genes)
  return Tables(
    statistics=SectionStatistics(
      measured=_array(bool, sections, genes),
      num_spots=_array(np.float32, sections),
      document_frequency=of_genes,
      mean_fraction=of_genes,
      log_mean=of_genes,
      log_std=of_genes,
      activity_mean=of_pathways,
      activity_std=of_pathways,
      corpus_document_share=everywhere,
      corpus_mean_fraction=everywhere,
      corpus_spatial=everywhere,
    ),
    membership=_array(bool, pathways, genes),
    regions=_array(np.int32, 2, spots),
    overlap=_array(np.float32, pathways, pathways),
  )


def _array(kind, *shape: int) -> jax.ShapeDtypeStruct:
  return jax.ShapeDtypeStruct(shape, kind)


def _shard_bytes(leaf: jax.ShapeDtypeStruct) -> int:
  return math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize


def _of_slice(generation: str, devices: str) -> Sequence[jax.Device]:
  """The chips of a TPU slice, none of which needs to be there."""
  from jax.experimental import topologies

  name = f"{generation}:{SLICES[generation][devices]}"
  return topologies.get_topology_desc(platform="tpu", topology_name=name).devices


def _line(size: str, devices: str, compiler: str) -> str:
  """One row, by a process of its own: how many devices there are is settled when it starts."""
  command = [sys.executable, "-m", "experiments.benchmarks.scale", "--row"]
  command += [f"--sizes={size}", f"--devices={devices}", f"--compilers={compiler}"]
  command += [f"--{flag.name}={flag.value}" for flag in (_GENES, _PATHWAYS, _SPOTS)]
  pretended = f"--xla_force_host_platform_device_count={devices}"
  environment = os.environ | {
    "JAX_PLATFORMS": "cpu",
    "JAX_COMPILATION_CACHE_DIR": "",  # seconds are those of compiling
    "XLA_FLAGS": pretended,
  }
  with console.announced(f"compiling {size} for {devices} of {compiler}", "4 to 15 minutes"):
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
  begin = f"| {size} | {MESHES[devices]} | {compiler} |"
  if done.returncode:
    return f"{begin} failed: {done.stderr.strip().splitlines()[-1]} |"
  found = json.loads(done.stdout.splitlines()[-1])
  numbers = (f"{found[name]:.2f}" for name in ("state", "temporaries", "sent"))
  return f"{begin} {' | '.join(numbers)} | {found['seconds']:.0f} |"


if __name__ == "__main__":
  entry.run(main, FLAGS)
