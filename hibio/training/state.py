"""What training carries from step to step: parameters, moments, counters; and the regions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jax.sharding import Mesh
from sklearn.metrics import adjusted_rand_score

from hibio.batch import Tables
from hibio.training import hosts, recent, sharding


@struct.dataclass
class TrainState:
  """All that training carries from step to step, beside the regions.

  The same tree also carries shapes or shardings instead of arrays, hence no types. Counters are
  int32 scalars.

  Attributes:
    step: steps taken, skipped ones too.
    params: of the model, a plain nested dictionary.
    opt_state: of the optimizer.
    skipped: steps that left `params` and `opt_state` as they were, as something was not finite.
    skipped_in_a_row: those since the last step that did not.
    spikes: steps that left them as they were, as the gradient was much larger than usual.
    recent: of the last steps, see `hibio.training.recent`.
  """

  step: Any
  params: Any
  opt_state: Any
  skipped: Any
  skipped_in_a_row: Any
  spikes: Any
  recent: Any


def create(params: Any, optimizer: optax.GradientTransformation, mesh: Mesh) -> TrainState:
  """The state before the first step, laid out on the mesh."""
  layout = jax.tree.map(lambda leaf: leaf.sharding, abstract(params, optimizer, mesh))
  # Copied, as a step consumes its state, and the caller's arrays would go with it.
  fresh = jax.jit(
    lambda params: _fresh(jax.tree.map(jnp.copy, params), optimizer), out_shardings=layout
  )
  return fresh(params)


def abstract(params: Any, optimizer: optax.GradientTransformation, mesh: Mesh) -> TrainState:
  """Shapes, types and layout of that state; shapes of `params` are enough."""
  shapes = jax.eval_shape(lambda params: _fresh(params, optimizer), params)
  return jax.tree.map(
    lambda leaf, layout: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=layout),
    shapes,
    sharding.shardings(shapes, mesh),
  )


def num_bytes(state: TrainState) -> int:
  """Of all its arrays, or of those that shapes stand for."""
  return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))


def _fresh(params: Any, optimizer: optax.GradientTransformation) -> TrainState:
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=params,
    opt_state=optimizer.init(params),
    skipped=jnp.zeros((), jnp.int32),
    skipped_in_a_row=jnp.zeros((), jnp.int32),
    spikes=jnp.zeros((), jnp.int32),
    recent=recent.none_yet(),
  )


def refreshed(
  refresh: Callable[[Any, Tables], np.ndarray], params: Any, tables: Tables
) -> tuple[Tables, dict[str, float]]:
  """The tables with new regions, and what is logged of each level of them.

  That is their number, the median of their spots, and the adjusted Rand index of new and old over
  the spots that have a region in both.

  Raises:
    ValueError: the new regions are not as many as the old ones.
  """
  old = np.asarray(tables.regions)
  here = sharding.on_this_process((params, tables))

  def drawn() -> np.ndarray:
    new = np.asarray(refresh(*here))
    if new.shape != old.shape:
      raise ValueError(f"regions of shape {new.shape} cannot replace those of shape {old.shape}")
    return new.astype(old.dtype)

  new = hosts.from_first(drawn, old)
  logged = {}
  for level, (before, after) in enumerate(zip(old, new, strict=True), 1):
    both = (before >= 0) & (after >= 0)
    value = adjusted_rand_score(before[both], after[both]) if both.any() else float("nan")
    sizes = np.unique(after[after >= 0], return_counts=True)[1]
    logged |= {
      f"regions/agreement_level_{level}": float(value),
      f"regions/number_level_{level}": len(sizes),
      f"regions/median_size_level_{level}": float(np.median(sizes)) if len(sizes) else 0.0,
    }
  layout = getattr(tables.regions, "sharding", None)
  regions = jax.device_put(new, layout)
  return tables.replace(regions=regions), logged
