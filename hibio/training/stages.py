"""Which objectives count at a step, as pure functions of the step: a restart cannot disagree."""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from data_pipelines.problems import BadInputError
from hibio import objectives
from hibio.configs import Stage, TrainingConfig


def edges(config: TrainingConfig) -> tuple[int, ...]:
  """The first step of each stage, and the number of all steps.

  Raises:
    BadInputError: shares that are negative or do not add up to 1.
  """
  shares = [stage.share for stage in config.stages]
  if not shares or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
    raise BadInputError(
      "config",
      "training.stages",
      f"shares {', '.join(f'{share:g}' for share in shares) or 'of no stage'}",
      "shares of all steps that add up to 1",
      "correct the shares",
    )
  return tuple(round(sum(shares[:n]) * config.num_steps) for n in range(len(shares) + 1))


def stage_at(step: int, config: TrainingConfig) -> Stage:
  """The stage that a step belongs to: of those that have begun by then, the last."""
  begun = [
    stage for stage, start in zip(config.stages, edges(config)[:-1], strict=True) if start <= step
  ]
  return begun[-1]


def named(config: TrainingConfig) -> frozenset[str]:
  """The objectives that are switched on at some time."""
  return frozenset(name for stage in config.stages for name in stage.objectives)


def objective_weights(
  step: Int[Array, ""] | int, config: TrainingConfig, base_weights: Mapping[str, float]
) -> dict[str, Float[Array, ""]]:
  """The weight of each objective at a step; `step` may be traced.

  An objective of a stage that starts with the run has its full weight from the first step. One of a
  later stage has none before, and grows to it in equal parts over `stage_ramp_share` of the stage.
  None goes back.

  Raises:
    BadInputError: a stage switches on an objective that has no weight.
  """
  step = jnp.asarray(step, jnp.float32)
  weights = {name: jnp.float32(0) for name in base_weights}
  bounds = edges(config)
  for stage, start, end in zip(config.stages, bounds, bounds[1:], strict=False):
    ramp = max(1, round(config.stage_ramp_share * (end - start))) if start else 1
    share = jnp.clip((step - start + 1) / ramp, 0, 1)
    for name in stage.objectives:
      if name not in base_weights:
        raise BadInputError(
          "config",
          f"training.stages.{stage.name}",
          name,
          f"objectives with a weight: {', '.join(base_weights)}",
          "correct the name",
        )
      weights[name] = jnp.float32(base_weights[name]) * share
  return weights


def refresh_steps(config: TrainingConfig) -> tuple[int, ...]:
  """Steps before which regions are re-clustered from what the model has learned by then.

  The stage that refreshes regions is the first to switch on an objective that reads them. It begins
  with the corpus' first regions, which no model has touched.
  """
  regional = objectives.needing("regions")
  bounds = edges(config)
  for stage, start, end in zip(config.stages, bounds, bounds[1:], strict=False):
    if regional & set(stage.objectives):
      interval = round(config.region_refresh_share * (end - start))
      return tuple(range(start + interval, end, interval)) if interval > 0 else ()
  return ()
