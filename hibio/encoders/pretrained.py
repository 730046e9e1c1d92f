"""A network of the catalogue as the image encoder: training begins with its weights."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hibio.batch import Batch
from hibio.configs import ModelConfig
from hibio.encoders.base import ImageEncoder, require
from hibio.encoders.catalogue import CATALOGUE, load
from hibio.encoders.frozen import FrozenEncoder

NAME = "pretrained"
"""Of `model.image_encoder`."""

_NETWORK = "network"


class PretrainedNetwork(ImageEncoder):
  """All that the network says of a patch, one vector after the other.

  It reads one view: the patches of the corpus. What of it is trained, the config says; the rest
  stays bit for bit, and costs neither gradients nor moments. Adapters (LoRA) come with finetuning.
  """

  @nn.compact
  def __call__(self, batch: Batch) -> Float[Array, "window spot channel"]:
    windows, spots = batch.patches.shape[:2]
    network = self._network().copy(name=_NETWORK)
    vectors = network(batch.patches.reshape(windows * spots, *batch.patches.shape[2:]))
    return jnp.concatenate(vectors, -1).reshape(windows, spots, -1).astype(self.dtype)

  @property
  def num_blocks(self) -> int:
    return self._network().num_blocks

  def in_last_blocks(self, path: str, number: int) -> bool | np.ndarray:
    return self._network().in_last_blocks(path.removeprefix(f"{_NETWORK}/"), number)

  def trained(self, path: str) -> bool | np.ndarray:
    blocks = self.config.pretrained.trained_blocks
    return blocks < 0 or (blocks > 0 and self.in_last_blocks(path, blocks))

  def check(self, batch: Batch) -> None:
    network, blocks = self._network(), self.config.pretrained.trained_blocks
    side, px = batch.patches.shape[-2], getattr(network, "px", None)
    require(px in (None, side), "patch_px", side, f"{px}, as {self.config.pretrained.name} reads")
    most = network.num_blocks
    require(-1 <= blocks <= most, "pretrained.trained_blocks", blocks, f"-1, or 0 to {most}")

  def _network(self) -> nn.Module:
    name = self.config.pretrained.name
    require(name in CATALOGUE, "pretrained.name", name, f"one of {', '.join(CATALOGUE)}")
    return CATALOGUE[name].module


def weights_of(config: ModelConfig) -> FrozenEncoder | None:
  """The network whose weights the image encoder begins with, if it begins with any.

  Raises:
    BadInputError: they are not on this machine.
  """
  return load(config.pretrained.name) if config.image_encoder == NAME else None


def begun(params: Any, weights: FrozenEncoder) -> Any:
  """The model's parameters with those of the network in their place."""
  return {**params, "image": {**params["image"], _NETWORK: weights.params}}
