"""AdamW with a clipped gradient, and its learning rate as a pure function of the step."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from hibio.configs import TrainingConfig
from hibio.nn.centring import TRACKED
from hibio.training import stages

TRACKING = 0.1
"""Part of the way to the batch's mean that a tracked mean goes in a step."""


def learning_rate(step: Int[Array, ""] | int, config: TrainingConfig) -> Float[Array, ""]:
  """Linear warm-up, then a cosine to about 0; it warms up again, shortly, where a stage begins.

  The rate belongs to the step and not to the number of updates made: one that was skipped does not
  shift what comes after.
  """
  warmup = max(1, round(config.warmup_share * config.num_steps))
  rewarm = max(1, round(config.rewarm_share * config.num_steps))
  cosine = optax.warmup_cosine_decay_schedule(
    0.0, config.learning_rate, warmup, max(config.num_steps, warmup) + 1
  )
  step = jnp.asarray(step, jnp.int32)
  with jax.numpy_dtype_promotion("standard"):  # inside optax, counts meet floats
    rate = jnp.asarray(cosine(step + 1), jnp.float32)
  for start in stages.edges(config)[1:-1]:
    again = jnp.clip((step - start + 1).astype(jnp.float32) / rewarm, 0, 1)
    rate = jnp.where(step >= start, rate * again, rate) if start else rate
  return rate


def make_optimizer(config: TrainingConfig) -> optax.GradientTransformation:
  """Clipping, Adam and decoupled decay of matrices; the step multiplies by -`step_sizes`.

  Tracked means have no loss: their gradient is their distance from the mean they follow, and comes
  out as it went in; see `step_sizes`.

  References:
    Loshchilov and Hutter 2019, arXiv:1711.05101.
  """
  learned = optax.chain(
    optax.clip_by_global_norm(config.clip_norm),
    # b2 as CLIP's vision transformers have it (Radford et al. 2021, table 18).
    optax.scale_by_adam(b2=0.98),
    optax.add_decayed_weights(config.weight_decay, mask=decayed),
  )
  return optax.partition({"learned": learned, "tracked": optax.identity()}, _kinds)


def step_sizes(params: Any, rate: Float[Array, ""]) -> Any:
  """How far each leaf goes along its direction: `rate`, or a tracked mean's own pace."""
  pace = {"learned": rate, "tracked": jnp.float32(TRACKING)}
  return jax.tree.map(pace.get, _kinds(params))


def _kinds(params: Any) -> Any:
  def kind(path, _):
    return "tracked" if jax.tree_util.keystr(path[-1:], simple=True) == TRACKED else "learned"

  return jax.tree_util.tree_map_with_path(kind, params)


def decayed(params: Any) -> Any:
  """True for matrices; biases, scales, tables and anchors' offsets are left alone."""

  def is_matrix(path, _):
    return jax.tree_util.keystr(path[-1:], simple=True) == "kernel"

  return jax.tree_util.tree_map_with_path(is_matrix, params)
