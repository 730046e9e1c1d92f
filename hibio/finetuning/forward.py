"""The finetuned model as plain functions of all its parameters, for the loop and frozen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from hibio import forward
from hibio.augmentation import augment
from hibio.batch import Batch, Tables
from hibio.configs import AugmentationConfig
from hibio.finetuning import heads
from hibio.finetuning.config import FinetuningConfig
from hibio.finetuning.tasks import Task
from hibio.finetuning.trainable import held_still
from hibio.model import HiBio
from hibio.outputs import Outputs
from hibio.parameters import plain
from hibio.training.optimizer import Trained


def begun(model_params: Any, adapters: Any | None, task: Task | None) -> dict[str, Any]:
  """The parameters before the first step."""
  params = {"model": model_params}
  if adapters:
    params["adapters"] = adapters
  if task is not None:
    params["heads"] = {task.name: task.begin(model_params)}
  return params


def for_task(
  model: HiBio,
  task: Task,
  config: FinetuningConfig,
  augmentation: AugmentationConfig,
  trained: Trained,
) -> Callable[..., tuple[jax.Array, Any]]:
  """(params, batch, tables, key) -> what the head says of the augmented batch, and the head.

  Vectors are centred by the tracked means, as they will be when the model is used, and not by the
  batch's: a batch of finetuning may hold a single kind of tissue.
  """

  def run(params, batch: Batch, tables: Tables, key: jax.Array):
    batch = augment(key, batch, augmentation)
    return _said(model, task, config, held_still(params, trained), batch, tables)

  return run


def frozen_task(
  model: HiBio, task: Task, config: FinetuningConfig
) -> Callable[..., tuple[jax.Array, Any]]:
  """(params, batch, tables) -> what the head says, and the head; jitted, nothing random."""
  return jax.jit(lambda params, batch, tables: _said(model, task, config, params, batch, tables))


def loss(task: Task) -> Callable[..., tuple[jax.Array, dict[str, jax.Array]]]:
  """(what the head says and the head, batch, tables, weights, key) -> (loss, metrics)."""

  def total(said_and_head, batch: Batch, tables: Tables, weights: dict, key: jax.Array):
    del key
    batch, tables = jax.tree.map(jax.numpy.asarray, (batch, tables))
    values = task.objective(*said_and_head, batch, tables)
    value, weight = values.pop("loss"), weights.get(task.name, 1.0)
    metrics = {f"loss/{task.name}": value, f"chance/{task.name}": values.pop("chance"), **values}
    return weight * value, metrics

  return total


def continued(
  model: HiBio, config: FinetuningConfig, augmentation: AugmentationConfig, trained: Trained
) -> Callable[..., Outputs]:
  """(params, batch, tables, key) -> Outputs, as in pretraining."""
  pretraining = forward.for_training(model, augmentation)

  def run(params, batch: Batch, tables: Tables, key: jax.Array) -> Outputs:
    return pretraining(plain(held_still(params, trained), config), batch, tables, key)

  return run


def frozen(model: HiBio, config: FinetuningConfig) -> Callable[..., Outputs]:
  """(params, batch, tables) -> Outputs, jitted, nothing random."""

  @jax.jit
  def run(params, batch: Batch, tables: Tables) -> Outputs:
    model_params = plain(params, config)
    return model.apply({"params": model_params}, batch, tables.statistics, tables.membership)

  return run


def _said(model: HiBio, task: Task, config: FinetuningConfig, params, batch: Batch, tables: Tables):
  outputs = model.apply(
    {"params": plain(params, config)}, batch, tables.statistics, tables.membership
  )
  head = params["heads"][task.name]
  return heads.read(head, heads.seen(outputs, task.modality)), head
