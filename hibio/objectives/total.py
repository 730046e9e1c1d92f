"""The loss: every objective in every step, weighted.

All objectives are computed in all stages and only their weights change, so that a step compiles
once. Each value is finite whatever the batch holds: an objective with nothing to say is 0, and has
0 items.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from data_pipelines.problems import BadInputError
from hibio.batch import Batch, Tables
from hibio.configs import ObjectiveConfig
from hibio.objectives import OBJECTIVES, monitors
from hibio.objectives.base import ITEMS
from hibio.objectives.inputs import Inputs
from hibio.outputs import Outputs


def total(
  outputs: Outputs,
  batch: Batch,
  tables: Tables,
  config: ObjectiveConfig,
  weights: Mapping[str, Any],
  shuffle: Int[Array, " spots"] | None = None,
  asked: Collection[str] | None = None,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
  """The weighted sum of all objectives, and what went into it.

  Args:
    weights: weight of each objective now; one that is not named counts as 0.
    shuffle: a permutation of all spots of the batch, windows one after the other. Image i is then
      paired with the profile, the counts and the activities of spot shuffle[i], in every objective:
      a control in which nothing can be learned from the pairs.
    asked: the objectives that are computed, by default all; others count as 0 and are no metrics.

  Returns:
    The loss, and metrics: "loss", "loss/NAME" and "weight/NAME" of each objective, "chance/NAME"
    where the value of guessing is known, "monitor/...", and "items/..." of these.

  Raises:
    BadInputError: the config or the weights name something that does not exist.
  """
  _check_names(weights)
  batch, tables = jax.tree.map(jnp.asarray, (batch, tables))
  inputs = Inputs(outputs, batch, tables, config, shuffle)
  loss, metrics = jnp.float32(0), {}
  for name, objective in OBJECTIVES.items():
    if asked is not None and name not in asked:
      continue
    found = objective.evaluate(inputs)
    weight = jnp.asarray(weights.get(name, 0.0), jnp.float32)
    loss += weight * found.loss
    metrics |= {f"loss/{name}": found.loss, f"weight/{name}": weight}
    metrics[f"{ITEMS}loss/{name}"] = found.items
    if found.chance is not None:
      metrics |= {f"chance/{name}": found.chance, f"{ITEMS}chance/{name}": found.items}
  for name, value, items in monitors.of_batch(inputs):
    metrics[f"monitor/{name}"] = value
    if items is not None:
      metrics[f"{ITEMS}monitor/{name}"] = items
  return loss, metrics | {"loss": loss}


def _check_names(weights: Mapping[str, Any]) -> None:
  for name in weights:
    if name not in OBJECTIVES:
      raise BadInputError(
        "config",
        "objectives.weights",
        name,
        f"one of {', '.join(OBJECTIVES)}",
        "correct the name, also in training.stages",
      )
