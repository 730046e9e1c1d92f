"""The model as plain functions of (params, batch, tables): one for training, one frozen."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from hibio.augmentation import augment
from hibio.batch import Batch, Tables
from hibio.configs import AugmentationConfig, ObjectiveConfig
from hibio.model import HiBio
from hibio.objectives import total as objectives
from hibio.outputs import Outputs


def for_training(model: HiBio, augmentation: AugmentationConfig) -> Callable[..., Outputs]:
  """(params, batch, tables, key) -> Outputs of the augmented batch, with centre dropout."""

  def forward(params, batch: Batch, tables: Tables, key: jax.Array) -> Outputs:
    augment_key, context_key = jax.random.split(key)
    batch = augment(augment_key, batch, augmentation)
    return model.apply(
      {"params": params},
      batch,
      tables.statistics,
      tables.membership,
      train=True,
      rngs={"context": context_key},
    )

  return forward


def frozen(model: HiBio) -> Callable[..., Outputs]:
  """(params, batch, tables) -> Outputs, jitted, nothing random."""

  @jax.jit
  def forward(params, batch: Batch, tables: Tables) -> Outputs:
    return model.apply({"params": params}, batch, tables.statistics, tables.membership)

  return forward


def initial_params(model: HiBio, batch: Batch, tables: Tables, seed: int):
  """The untrained model's parameters, a plain nested dictionary."""
  one = jax.tree.map(lambda leaf: jnp.asarray(leaf)[:1], batch)
  init = jax.jit(lambda key: model.init(key, one, tables.statistics, tables.membership))
  return init(jax.random.key(seed))["params"]


def loss(config: ObjectiveConfig, shuffle_pairs: bool) -> Callable[..., tuple[jax.Array, dict]]:
  """(outputs, batch, tables, weights, key) -> (loss, metrics).

  With `shuffle_pairs` every image is paired with the profile of a spot drawn at random: the control
  in which the spot objective must stay at chance.
  """

  def total(outputs: Outputs, batch: Batch, tables: Tables, weights: dict, key: jax.Array):
    shuffle = jax.random.permutation(key, batch.spot_mask.size) if shuffle_pairs else None
    return objectives.total(outputs, batch, tables, config, weights, shuffle)

  return total
