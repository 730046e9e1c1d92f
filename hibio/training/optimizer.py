"""AdamW with a clipped gradient, and its learning rate as a pure function of the step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from hibio.configs import TrainingConfig
from hibio.nn.centring import TRACKED
from hibio.training import stages

Trained = Callable[[Any], Any]
"""(parameters, or their shapes) -> for each leaf True, False, or a bool for each leading row.

Rows are blocks of a scanned depth, or genes of a table.
"""

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


def make_optimizer(
  config: TrainingConfig, trained: Trained | None = None
) -> optax.GradientTransformation:
  """Clipping, Adam and decoupled decay of matrices; the step multiplies by -`step_sizes`.

  Tracked means have no loss: their gradient is their distance from the mean they follow, which
  comes out as it went in, the mean over parts of a step; see `step_sizes`.

  Args:
    trained: what is trained; None for everything. A leaf that is not has no moments, and neither it
      nor a row that is not trained ever changes by a bit.

  References:
    Loshchilov and Hutter 2019, arXiv:1711.05101.
  """
  learned = optax.chain(
    optax.clip_by_global_norm(config.clip_norm),
    # b2 as CLIP's vision transformers have it (Radford et al. 2021, table 18).
    optax.scale_by_adam(b2=0.98),
    optax.add_decayed_weights(config.weight_decay, mask=decayed),
  )
  # Each part of a step adds its distance.
  groups = {"learned": learned, "tracked": optax.scale(1.0 / config.accumulation)}
  if trained is None:
    return optax.partition(groups, _kinds)

  def kinds(params):
    return jax.tree.map(
      lambda kind, part: "frozen" if part is False else kind, _kinds(params), trained(params)
    )

  groups["frozen"] = optax.set_to_zero()
  return optax.chain(optax.partition(groups, kinds), optax.stateless(_rows_only(trained)))


def step_sizes(params: Any, rate: Float[Array, ""]) -> Any:
  """How far each leaf goes along its direction: `rate`, or a tracked mean's own pace."""
  pace = {"learned": rate, "tracked": jnp.float32(TRACKING)}
  return jax.tree.map(pace.get, _kinds(params))


def _kinds(params: Any) -> Any:
  def kind(path, _):
    return "tracked" if jax.tree_util.keystr(path[-1:], simple=True) == TRACKED else "learned"

  return jax.tree_util.tree_map_with_path(kind, params)


def _rows_only(trained: Trained) -> Callable[[Any, Any], Any]:
  """Updates without the rows that are not trained: decay would move them."""

  def rows_only(updates, params):
    def leaf(update, part):
      return jnp.where(rows(part, update), update, 0.0) if isinstance(part, np.ndarray) else update

    return jax.tree.map(leaf, updates, trained(params))

  return rows_only


def rows(part: np.ndarray, leaf: Any) -> Array:
  """Which leading rows are trained, with as many axes as the leaf has."""
  return jnp.asarray(part).reshape(-1, *[1] * (leaf.ndim - 1))


def decayed(params: Any) -> Any:
  """True for matrices; biases, scales, tables and anchors' offsets are left alone."""

  def is_matrix(path, _):
    return jax.tree_util.keystr(path[-1:], simple=True) == "kernel"

  return jax.tree_util.tree_map_with_path(is_matrix, params)
