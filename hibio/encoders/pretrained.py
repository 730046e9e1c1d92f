"""A network of the catalogue as the image encoder: training begins with its weights."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from hibio import parameters
from hibio.batch import Batch
from hibio.configs import ModelConfig
from hibio.encoders import features
from hibio.encoders.base import ImageEncoder, require
from hibio.encoders.catalogue import CATALOGUE, load
from hibio.encoders.frozen import FrozenEncoder
from hibio.pairwise import mean_within

NAME = "pretrained"
"""Of `model.image_encoder`."""

_NETWORK, _ADAPTERS = "network", "adapters"

_LEAST_VARIANCE = 1e-6
"""A channel that varies less says nothing of a window."""

_ALPHA = 16.0
"""Adapters are scaled by this over their rank; see `hibio.finetuning.config.FinetuningConfig`."""


class PretrainedNetwork(ImageEncoder):
  """A hidden layer over all that the network says of a patch, as over features that are read once.

  It reads one view: the patches of the corpus. What of it is trained, the config says; the rest
  stays bit for bit, and costs neither gradients nor moments. Low-rank adapters lie beside it.
  """

  @nn.compact
  def __call__(self, batch: Batch) -> Float[Array, "window spot channel"]:
    windows, spots = batch.patches.shape[:2]
    patches = batch.patches.reshape(windows * spots, *batch.patches.shape[2:])
    network, rank = self._network(), self.config.pretrained.adapter_rank
    params = self.param(_NETWORK, lambda key: network.init(key, patches)["params"])
    if rank:
      adapters = self.param(_ADAPTERS, lambda _: parameters.begin(0, params, rank))
      params = parameters.merged(params, adapters, _ALPHA / rank)
    vectors = jnp.concatenate(network.apply({"params": params}, patches), -1)
    vectors = vectors.reshape(windows, spots, -1).astype(jnp.float32)
    known, radius_um = batch.spot_mask & batch.has_patch, self.config.context.radius_um
    vectors = standardised(vectors, known)
    if radius_um > 0:
      around = mean_within(vectors, batch.positions_um, known, radius_um=radius_um)
      vectors = jnp.concatenate([vectors, around], -1)
    return features.read(vectors, self)

  @property
  def num_blocks(self) -> int:
    return self._network().num_blocks

  def in_last_blocks(self, path: str, number: int) -> bool | np.ndarray:
    part, _, inside = path.partition("/")
    return part == features.HIDDEN or self._network().in_last_blocks(inside, number)

  def trained(self, path: str) -> bool | np.ndarray:
    blocks = self.config.pretrained.trained_blocks
    if path.startswith((f"{_ADAPTERS}/", f"{features.HIDDEN}/")):
      return True
    return blocks < 0 or (blocks > 0 and self.in_last_blocks(path, blocks))

  def check(self, batch: Batch) -> None:
    features.check(self.config)
    network, blocks = self._network(), self.config.pretrained.trained_blocks
    side, px = batch.patches.shape[-2], getattr(network, "px", None)
    require(px in (None, side), "patch_px", side, f"{px}, as {self.config.pretrained.name} reads")
    most = network.num_blocks
    require(-1 <= blocks <= most, "pretrained.trained_blocks", blocks, f"-1, or 0 to {most}")
    rank = self.config.pretrained.adapter_rank
    require(rank >= 0, "pretrained.adapter_rank", rank, "a rank, or 0 for no adapters")

  def _network(self) -> nn.Module:
    name = self.config.pretrained.name
    require(name in CATALOGUE, "pretrained.name", name, f"one of {', '.join(CATALOGUE)}")
    return CATALOGUE[name].module


def standardised(
  vectors: Float[Array, "window spot channel"], known: Bool[Array, "window spot"]
) -> Float[Array, "window spot channel"]:
  """Less the mean of the window's known spots, over their deviation; 0 elsewhere.

  That takes away what all of a slide shares, as `data_pipelines.features.reading` does.
  """
  there = known[..., None].astype(vectors.dtype)
  count = jnp.maximum(there.sum(1, keepdims=True), 1.0)
  vectors -= (vectors * there).sum(1, keepdims=True) / count
  variance = (there * vectors**2).sum(1, keepdims=True) / count
  return there * vectors * jax.lax.rsqrt(variance + _LEAST_VARIANCE)


def weights_of(config: ModelConfig, *, untrained: bool = False) -> FrozenEncoder | None:
  """The network that the image encoder begins as, if it begins as any.

  Args:
    untrained: the network that the catalogue calls NAME-untrained, whose weights are drawn.

  Raises:
    BadInputError: its weights are not on this machine.
  """
  if config.image_encoder != NAME:
    return None
  return load(config.pretrained.name, untrained=untrained)


def begun(params: Any, network: FrozenEncoder | None, seed: int) -> Any:
  """The model's parameters with those of the network in their place, under adapters of that seed.

  Args:
    network: None leaves the parameters as they are.
  """
  if network is None:
    return params
  image = {**params["image"], _NETWORK: network.params}
  if _ADAPTERS in image:
    rank = jax.tree.leaves(image[_ADAPTERS])[0].shape[-1]
    image[_ADAPTERS] = parameters.begin(seed, network.params, rank)
  return {**params, "image": image}
