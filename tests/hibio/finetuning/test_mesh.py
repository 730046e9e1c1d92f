"""A finetuning step over devices: adapters and heads lie beside matrices that are cut up."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hibio import encoders, parameters
from hibio.configs import AugmentationConfig
from hibio.finetuning import forward, tasks, trainable
from hibio.finetuning.config import FinetuningConfig
from hibio.model import HiBio
from hibio.training import sharding
from tests.hibio.finetuning import small

CONFIG = FinetuningConfig(task="annotation", label_names=("a", "b", "c"), rank=2)


def _loss_and_norm(shape):
  """On a mesh: the loss of labels under adapters that have moved, and the norm of its gradient."""
  batch, tables = small.data()
  rng = np.random.default_rng(0)
  tables = tables.replace(labels=rng.integers(-1, 3, batch.spot_mask.size).astype(np.int32))
  task = tasks.TASKS["annotation"](CONFIG, np.ones(3, np.float32))
  begin = small.params(depth=1)
  added = {"adapters": parameters.begin(0, begin, 2, ("image",)), "heads": task.begin(begin)}
  added = jax.tree.map(lambda leaf: rng.normal(scale=0.3, size=leaf.shape).astype("f"), added)
  params = {"model": begin, "adapters": added["adapters"], "heads": {task.name: added["heads"]}}
  scope = trainable.Scope(encoders.of(small.config(depth=1)))
  trained = trainable.trained_by(
    "lora", scope, modalities=("image",), follows_means=False, num_old_genes=small.GENES
  )
  model = HiBio(small.config(depth=1), small.GENES)
  run = forward.for_task(model, task, CONFIG, AugmentationConfig(False, 0.0, 0.0), trained)

  def loss(params, batch, tables):
    said = run(params, batch, tables, jax.random.key(0))
    return forward.loss(task)(said, batch, tables, {}, jax.random.key(0))[0]

  def with_norm(params, batch, tables):
    value, gradient = jax.value_and_grad(loss)(params, batch, tables)
    return value, optax.tree.norm(gradient), optax.tree.norm(gradient["model"])

  mesh = sharding.make_mesh(shape)
  arguments = (
    jax.device_put(params, sharding.shardings(params, mesh)),
    sharding.put_batch(batch, mesh),
    sharding.replicate(jax.tree.map(jnp.asarray, tables), mesh),
  )
  return tuple(map(float, jax.jit(with_norm)(*arguments)))


def test_loss_and_gradient_are_the_same_on_one_and_on_four_devices():
  one, four = _loss_and_norm((1, 1, 1)), _loss_and_norm((2, 1, 2))
  assert one[0] > 0.5
  assert one[1] > 0.1
  assert one[2] == four[2] == 0  # nothing flows into the model under the adapters
  assert four[0] == pytest.approx(one[0], rel=1e-5)  # the order of sums differs over devices
  assert four[1] == pytest.approx(one[1], rel=1e-4)
