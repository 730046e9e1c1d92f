"""What a step changes: parameters, the optimizer's moments and three counters."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.sharding import Mesh

from hibio.training import sharding


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
  """

  step: Any
  params: Any
  opt_state: Any
  skipped: Any
  skipped_in_a_row: Any


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


def _fresh(params: Any, optimizer: optax.GradientTransformation) -> TrainState:
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=params,
    opt_state=optimizer.init(params),
    skipped=jnp.zeros((), jnp.int32),
    skipped_in_a_row=jnp.zeros((), jnp.int32),
  )
