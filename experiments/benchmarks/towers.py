"""C1 to C3: our towers against the same in PyTorch, on the same parameters and one core.

  python -m experiments.benchmarks.towers

C1 is the image tower of size S with its gradient, C2 a whole step of the smallest size (both
towers, the contrast, clipping, AdamW), C3 the image tower of size S without a gradient.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.benchmarks import side_by_side
from experiments.benchmarks.side_by_side import Case, Pair
from hibio import configs, encoders
from hibio.batch import Batch
from hibio.nn.layers import Dense
from hibio.objectives.inputs import Pairs
from hibio.objectives.spot import info_nce
from hibio.outputs import Keywords
from hibio.training.optimizer import make_optimizer

NUM_GENES = 1_000
TRAINING = configs.TrainingConfig(
  num_steps=1, windows_per_batch=1, sections_per_batch=1, learning_rate=1e-3
)


class Towers(nn.Module):
  """Both encoders, each projected into the shared space: what the contrast needs."""

  config: configs.ModelConfig

  @nn.compact
  def __call__(self, batch: Batch, keywords: Keywords):
    config, built = self.config, encoders.of(self.config)
    scale = nn.initializers.normal(config.gene.width**-0.5)
    table = nn.Embed(NUM_GENES, config.gene.width, embedding_init=scale, name="table").embedding
    towers = {
      "image": built["image"](batch),
      "gene": built["gene"](keywords, table, jnp.ones(len(batch.counts))),
    }
    dtype = jnp.dtype(config.dtype)
    image, gene = (
      Dense(config.embedding_width, dtype=dtype, name=f"project_{name}")(tower)
      for name, tower in towers.items()
    )
    return image[0], gene[0], self.param("log_scale", nn.initializers.constant(1.6), ())


def loss(params: Any, model: Towers, batch: Batch, keywords: Keywords) -> jax.Array:
  """Of the contrast, with no spot so near to another that it would not be told from it."""
  image, gene, log_scale = model.apply({"params": params}, batch, keywords)
  image, gene = (
    one.astype(jnp.float32) / jnp.linalg.norm(one.astype(jnp.float32), axis=-1, keepdims=True)
    for one in (image, gene)
  )
  spots = len(image)
  places = jnp.stack([1e6 * jnp.arange(spots, dtype=jnp.float32), jnp.zeros(spots)], axis=1)
  pairs = Pairs(image, gene, jnp.ones(spots, bool), places, jnp.zeros(spots, jnp.int32))
  each, _ = info_nce(
    pairs, jnp.exp(log_scale),
    neighbour_radius_um=1.0, soft_target_share=0.0, soft_target_temperature=1.0,
  )  # fmt: skip
  return each.mean()


def step_of(model: Towers, optimizer: optax.GradientTransformation) -> Callable[..., Any]:
  """(parameters, state of the optimizer, batch, keywords) -> the first two, and the loss."""

  def step(params, state, batch, keywords):
    value, gradient = jax.value_and_grad(loss)(params, model, batch, keywords)
    updates, state = optimizer.update(gradient, state, params)
    rate = jnp.float32(TRAINING.learning_rate)
    return jax.tree.map(lambda p, u: p - rate * u, params, updates), state, value

  return jax.jit(step, donate_argnums=(0, 1))


def size(name: str, **changed: Any) -> configs.ModelConfig:
  """A size, as its preset has it."""
  return dataclasses.replace(configs.ModelConfig(**configs.SIZES[name]), **changed)


def inputs(config: configs.ModelConfig, spots: int) -> tuple[Batch, Keywords]:
  """One window of random patches and keywords."""
  rng = np.random.default_rng(0)
  shape, side = (1, spots), config.patch_px
  number = min(config.keywords.num_keywords, NUM_GENES)
  weight = -np.sort(-rng.dirichlet(np.ones(number), shape).astype(np.float32), axis=-1)
  keywords = Keywords(
    gene=rng.permuted(np.tile(np.arange(NUM_GENES, dtype=np.int32), (*shape, 1)), axis=-1)[
      ..., :number
    ],
    fraction=rng.dirichlet(np.ones(number), shape).astype(np.float32),
    weight=weight,
    mask=np.ones((*shape, number), bool),
  )
  batch = Batch(
    patches=rng.integers(0, 256, (*shape, side, side, 3), np.uint8),
    counts=np.zeros((*shape, NUM_GENES), np.int32),
    positions_um=np.zeros((*shape, 2), np.float32),
    spot_mask=np.ones(shape, bool),
    has_patch=np.ones(shape, bool),
    has_counts=np.ones(shape, bool),
    section_index=np.zeros(1, np.int32),
    spot_index=np.arange(spots, dtype=np.int32)[None],
  )
  return jax.device_put((batch, keywords))


def _image_tower(quick: bool, gradient: bool) -> Pair:
  """The mean of the embedding with its gradient, or the embedding."""
  import torch

  from experiments.benchmarks import torch_twin

  torch.set_num_threads(1)
  config = size("tiny" if quick else "S")
  tower, (batch, _) = encoders.of(config)["image"], inputs(config, 4)
  params = tower.init(jax.random.key(0), batch)["params"]
  twin = torch_twin.of_flax(params)
  patches = torch.from_numpy(np.array(batch.patches[0]))

  def embedding(params):
    return tower.apply({"params": params}, batch)[0]

  if not gradient:
    embed = jax.jit(embedding)

    def theirs():
      with torch.inference_mode():
        return torch_twin.image_tower(twin, patches, config)

    return lambda: jax.block_until_ready(embed(params)), theirs

  both = jax.jit(jax.value_and_grad(lambda params: (embedding(params) ** 2).mean()))
  variables = [leaf.requires_grad_() for leaf in torch_twin.leaves(twin)]

  def ours():
    return jax.block_until_ready(both(params))

  def theirs_too():
    value = (torch_twin.image_tower(twin, patches, config) ** 2).mean()
    return value.detach(), torch.autograd.grad(value, variables)

  return ours, theirs_too


def _same_gradient(ours: Any, theirs: Any) -> None:
  from experiments.benchmarks import torch_twin

  np.testing.assert_allclose(float(ours[0]), float(theirs[0]), rtol=1e-4)
  for mine, other in zip(torch_twin.leaves(torch_twin.of_flax(ours[1])), theirs[1], strict=True):
    off = float((mine - other).norm() / other.norm().clamp_min(1e-8))
    assert off < 1e-3, f"a gradient is off by {off:.1g}"


def _step(quick: bool) -> Pair:
  """The loss after an update: it would tell of another gradient."""
  import torch

  from experiments.benchmarks import torch_twin

  torch.set_num_threads(1)
  config, spots = size("tiny"), 8 if quick else 256
  model, (batch, keywords) = Towers(config), inputs(config, spots)
  params = jax.jit(model.init)(jax.random.key(0), batch, keywords)["params"]
  twin = torch_step(torch_twin.of_flax(params), config, batch, keywords)
  optimizer = make_optimizer(TRAINING)
  step, state = step_of(model, optimizer), [params, optimizer.init(params)]

  def ours():
    for _ in range(2):
      *state[:], value = step(*state, batch, keywords)
    return jax.block_until_ready(value)

  return ours, lambda: [twin() for _ in range(2)][-1]


def torch_step(
  twin: dict, config: configs.ModelConfig, batch: Batch, keywords: Keywords, device: str = "cpu"
) -> Callable[[], Any]:
  """A step of the twin with clipping and AdamW, which returns the loss before the update.

  On a GPU compiled, with products in bfloat16 and the fused optimizer.
  """
  import torch

  from experiments.benchmarks import torch_twin

  def on_device(values):
    return torch.from_numpy(np.array(values)).to(device)

  patches = on_device(batch.patches[0])
  words = {name: on_device(getattr(keywords, name)[0]) for name in ("gene", "fraction", "weight")}
  words["gene"] = words["gene"].long()
  every = [leaf.requires_grad_() for leaf in torch_twin.leaves(twin)]
  matrices = {id(leaf) for leaf in _kernels(twin)}
  groups = [
    {"params": [leaf for leaf in every if (id(leaf) in matrices) == decayed],
     "weight_decay": TRAINING.weight_decay * decayed}
    for decayed in (True, False)
  ]  # fmt: skip
  rate, on_gpu = TRAINING.learning_rate, device != "cpu"
  optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), fused=on_gpu)

  def forward(twin, patches, words):
    both = {
      "image": torch_twin.image_tower(twin["image"], patches, config),
      "gene": torch_twin.gene_tower(twin["gene"], twin["table"]["embedding"], words, config),
    }
    both = {name: torch_twin.linear(twin[f"project_{name}"], one) for name, one in both.items()}
    return torch_twin.contrast(both["image"], both["gene"], twin["log_scale"])

  forward = torch.compile(forward) if on_gpu else forward

  def step():
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast(device, torch.bfloat16, enabled=on_gpu):
      value = forward(twin, patches, words)
    value.backward()
    torch.nn.utils.clip_grad_norm_(every, TRAINING.clip_norm)
    optimizer.step()
    return value.detach()

  return step


def _kernels(tree: dict) -> list:
  found = []
  for name, part in tree.items():
    found += _kernels(part) if isinstance(part, dict) else [part] * (name == "kernel")
  return found


CASES = (
  Case(
    "C1 image tower S with its gradient", "PyTorch", goal=0.95,
    of=lambda quick: _image_tower(quick, gradient=True), same=_same_gradient, needs=("torch",),
    rounds=7,
  ),
  Case("C2 step of both towers, tiny", "PyTorch", goal=0.95, of=_step, needs=("torch",), rounds=7),
  Case(
    "C3 embedding by S", "PyTorch", goal=1.2, of=lambda quick: _image_tower(quick, gradient=False),
    needs=("torch",), same=lambda ours, theirs: side_by_side.equal(ours, theirs.numpy()),
  ),
)  # fmt: skip

if __name__ == "__main__":
  side_by_side.run(__doc__, CASES)
