"""One optimizer step: forward, loss, gradient, update; compiled once for all stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding

from hibio import layout
from hibio.batch import Batch, Tables
from hibio.configs import TrainingConfig
from hibio.training import recent, sharding, stages
from hibio.training.optimizer import learning_rate, step_sizes
from hibio.training.state import TrainState

Forward = Callable[[Any, Batch, Tables, jax.Array], Any]
"""(params, batch, tables, key) -> outputs."""

Total = Callable[[Any, Batch, Tables, dict, jax.Array], tuple[jax.Array, dict]]
"""(outputs, batch, tables, weights, key) -> (loss, metrics)."""

Step = Callable[[TrainState, Batch, Tables], tuple[TrainState, dict[str, jax.Array]]]


def make_train_step(
  *,
  forward: Forward,
  total: Total,
  optimizer: optax.GradientTransformation,
  base_weights: Mapping[str, float],
  config: TrainingConfig,
  mesh: Mesh,
  state: TrainState,
) -> Step:
  """(state, batch, tables) -> (state, metrics), jitted over the mesh; the old state is consumed.

  Everything drawn comes from (`config.seed`, step). Where the loss or the gradient is not finite,
  parameters and moments stay bit for bit what they were and `skipped` counts one more; so they do
  where the gradient's norm is a spike, which `spikes` counts.

  Args:
    state: for its layout only; shapes are enough.
  """

  def train_step(state: TrainState, batch: Batch, tables: Tables, seed: jax.Array):
    key = jax.random.fold_in(jax.random.key(seed), state.step)
    forward_key, total_key = jax.random.split(key)
    weights = stages.objective_weights(state.step, config, base_weights)

    def loss(params):
      outputs = forward(params, batch, tables, forward_key)
      return total(outputs, batch, tables, weights, total_key)

    with layout.on(mesh):
      (value, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(state.params)
    rate = learning_rate(state.step, config)
    norm = optax.tree.norm(gradient)
    finite = jnp.isfinite(value) & jnp.isfinite(norm)
    spike = finite & recent.is_spike(state.recent, norm, config.spike_sigmas)
    accepted = finite & ~spike
    with jax.numpy_dtype_promotion("standard"):  # inside optax, counts meet floats
      direction, opt_state = optimizer.update(gradient, state.opt_state, state.params)
    params = jax.tree.map(
      lambda old, by, size: old - size * by,
      state.params,
      direction,
      step_sizes(state.params, rate),
    )
    params, opt_state = jax.tree.map(
      lambda new, old: jnp.where(accepted, new, old),
      (params, opt_state),
      (state.params, state.opt_state),
    )
    bad = (~finite).astype(jnp.int32)
    state = TrainState(
      step=state.step + 1,
      params=params,
      opt_state=opt_state,
      skipped=state.skipped + bad,
      skipped_in_a_row=(state.skipped_in_a_row + 1) * bad,
      spikes=state.spikes + spike.astype(jnp.int32),
      recent=recent.with_step(state.recent, state.step, jnp.where(finite, norm, jnp.nan)),
    )
    metrics = metrics | {
      "loss": value,
      "pairs": (batch.spot_mask & batch.has_patch & batch.has_counts).sum(),
      "learning_rate": rate,
      "gradient_norm": norm,
      "skipped": state.skipped,
      "skipped_in_a_row": state.skipped_in_a_row,
      "skipped_recently": recent.skipped(state.recent),
      "spikes": state.spikes,
    }
    return state, metrics

  places = sharding.shardings(state, mesh)
  replicated = NamedSharding(mesh, layout.REPLICATED)
  compiled = jax.jit(
    train_step,
    in_shardings=(places, NamedSharding(mesh, layout.BATCH), replicated, replicated),
    out_shardings=(places, replicated),
    donate_argnums=0,
  )
  # An argument and no constant: what is compiled, and kept on disk, then serves every seed.
  seed = np.asarray(config.seed)
  return lambda state, batch, tables: compiled(state, batch, tables, seed)
