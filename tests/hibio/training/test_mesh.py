"""The real model over several meshes: the same loss, and its matrices really in pieces."""

import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.benchmarks.collectives import collectives, num_bytes
from hibio import forward, layout
from hibio.configs import (
  ContextConfig,
  KeywordConfig,
  ModelConfig,
  ObjectiveConfig,
  TransformerConfig,
)
from hibio.model import HiBio
from hibio.training import sharding
from tests.hibio.fake import fake

GOLDEN = Path(__file__).parent / "golden" / "sharding.json"
MODEL = ModelConfig(
  embedding_width=16,
  patch_px=8,
  token_px=4,
  image=TransformerConfig(width=16, depth=1, num_heads=4, mlp_ratio=2.0),
  gene=TransformerConfig(width=16, depth=1, num_heads=4, mlp_ratio=2.0),
  keywords=KeywordConfig(num_keywords=8),
  context=ContextConfig(num_heads=4),
)
OBJECTIVES = ObjectiveConfig(max_regions=16)


@pytest.fixture(scope="module")
def tiny():
  """Model, batch, tables and parameters; 21 genes, which no mesh divides."""
  model = HiBio(MODEL, num_genes=21)
  batch, tables = fake(windows=4, spots=8, genes=21, pathways=4, patch_px=8)
  shapes = jax.eval_shape(lambda: forward.initial_params(model, batch, tables, seed=0))
  rng = np.random.default_rng(0)  # drawn here: compiling an initialiser takes seconds
  params = jax.tree.map(
    lambda leaf: rng.normal(scale=0.3, size=leaf.shape).astype(np.float32), shapes
  )
  return model, batch, tables, params


def _specs(params, mesh) -> dict[str, str]:
  flat = jax.tree_util.tree_flatten_with_path(sharding.shardings(params, mesh))[0]
  return {
    jax.tree_util.keystr(path, simple=True, separator="/"): str(leaf.spec) for path, leaf in flat
  }


def test_every_parameter_lies_where_the_golden_table_says(tiny):
  """After a change that is meant: python -m tests.hibio.training.test_mesh"""
  specs = _specs(tiny[-1], sharding.make_mesh((1, 2, 2)))
  assert specs == json.loads(GOLDEN.read_text())
  cut_twice = [name for name, spec in specs.items() if "fsdp" in spec and "tensor" in spec]
  blocks = ("attention/qkv", "attention/out", "mlp/up", "mlp/down")
  for tower in ("image", "gene"):
    for block in blocks:
      assert f"{tower}/transformer/block_0/{block}/kernel" in cut_twice
  whole = sum(
    np.size(leaf)
    for leaf, (name, spec) in zip(jax.tree.leaves(tiny[-1]), specs.items(), strict=True)
    if "'" not in spec and "convolution" not in name  # small but in a model as small as this
  )
  assert whole < 0.1 * sum(map(np.size, jax.tree.leaves(tiny[-1])))


@pytest.fixture(scope="module")
def on_mesh(tiny):
  """(mesh, with or without gradient) -> loss of the real model with all objectives on, compiled.

  With what it is called with.
  """
  model, batch, tables, params = tiny
  total = forward.loss(OBJECTIVES, shuffle_pairs=False)
  weights = {name: jnp.float32(value) for name, value in OBJECTIVES.weights}

  @functools.cache
  def compiled(shape, with_gradient):
    mesh = sharding.make_mesh(shape)

    def loss(params, batch, tables):
      outputs = model.apply(
        {"params": params}, batch, tables.statistics, tables.membership, train=True
      )
      return total(outputs, batch, tables, weights, jax.random.key(0))[0]

    arguments, tree = jax.tree.flatten(
      (
        jax.device_put(params, sharding.shardings(params, mesh)),
        sharding.put_batch(batch, mesh),
        sharding.replicate(tables, mesh),
      )
    )

    def on_it(*leaves):
      with layout.on(mesh):
        return (jax.value_and_grad(loss) if with_gradient else loss)(*tree.unflatten(leaves))

    return jax.jit(on_it).lower(*arguments).compile(), arguments

  return compiled


@pytest.fixture(scope="module")
def on_one_device(on_mesh):
  compiled, arguments = on_mesh((1, 1, 1), True)
  loss, gradient = compiled(*arguments)
  assert optax.tree.norm(gradient) > 0.1
  return loss, gradient


@pytest.mark.parametrize("shape", [(4, 1, 1), (1, 1, 4)])
def test_hibio_has_the_same_loss_on_every_mesh(on_mesh, on_one_device, shape):
  compiled, arguments = on_mesh(shape, False)
  # The order of sums differs over devices.
  np.testing.assert_allclose(compiled(*arguments), on_one_device[0], rtol=1e-5)


@pytest.mark.parametrize("shape", [(1, 4, 1), (1, 2, 2)])
def test_hibio_has_the_same_gradient_where_its_matrices_lie_in_pieces(
  on_mesh, on_one_device, shape
):
  compiled, arguments = on_mesh(shape, True)
  loss, gradient = jax.tree.map(np.asarray, compiled(*arguments))
  np.testing.assert_allclose(loss, on_one_device[0], rtol=1e-5)
  largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(gradient))
  close = functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5 * largest)
  jax.tree.map(close, gradient, on_one_device[1])


def test_what_is_sent_under_fsdp_is_the_weights_and_their_gradients(tiny, on_mesh):
  compiled, _ = on_mesh((1, 4, 1), True)
  weights = sum(leaf.nbytes for leaf in jax.tree.leaves(tiny[-1]))
  # Once there and once back; the rest is the spots' embeddings, which all others are held against.
  assert num_bytes(collectives(compiled.as_text())) < 2.5 * weights


if __name__ == "__main__":
  jax.config.update("jax_num_cpu_devices", 4)
  batch, tables = fake(windows=4, spots=8, genes=21, pathways=4, patch_px=8)
  model = HiBio(MODEL, num_genes=21)
  params = jax.eval_shape(lambda: forward.initial_params(model, batch, tables, seed=0))
  GOLDEN.parent.mkdir(exist_ok=True)
  GOLDEN.write_text(json.dumps(_specs(params, sharding.make_mesh((1, 2, 2))), indent=1) + "\n")
