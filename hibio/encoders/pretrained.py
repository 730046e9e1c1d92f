"""A network of the catalogue as the image encoder: training begins with its weights."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hibio import parameters
from hibio.batch import Batch
from hibio.configs import ModelConfig
from hibio.encoders.base import ImageEncoder, require
from hibio.encoders.catalogue import CATALOGUE, load
from hibio.encoders.frozen import FrozenEncoder

NAME = "pretrained"
"""Of `model.image_encoder`."""

_NETWORK, _ADAPTERS = "network", "adapters"

_ALPHA = 16.0
"""Adapters are scaled by this over their rank; see `hibio.finetuning.config.FinetuningConfig`."""


class PretrainedNetwork(ImageEncoder):
  """All that the network says of a patch, one vector after the other.

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
    vectors = network.apply({"params": params}, patches)
    return jnp.concatenate(vectors, -1).reshape(windows, spots, -1).astype(self.dtype)

  @property
  def num_blocks(self) -> int:
    return self._network().num_blocks

  def in_last_blocks(self, path: str, number: int) -> bool | np.ndarray:
    return self._network().in_last_blocks(path.partition("/")[2], number)

  def trained(self, path: str) -> bool | np.ndarray:
    blocks = self.config.pretrained.trained_blocks
    if path.startswith(f"{_ADAPTERS}/"):
      return True
    return blocks < 0 or (blocks > 0 and self.in_last_blocks(path, blocks))

  def check(self, batch: Batch) -> None:
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
