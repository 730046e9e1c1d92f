"""EfficientNet-Lite, read stage by stage, with its batch norms folded into the convolutions.

The Lite variants have no squeeze-and-excitation, and ReLU6 in place of swish: they are fast where
there is no accelerator. Whoever reads early stages alone does not pay for the late ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from hibio.nn.layers import Dense

STAGES = (
  # blocks, kernel, stride, expansion, channels
  (1, 3, 1, 1, 16),
  (2, 3, 2, 6, 24),
  (2, 5, 2, 6, 40),
  (3, 3, 2, 6, 80),
  (3, 5, 1, 6, 112),
  (4, 5, 2, 6, 192),
  (1, 3, 1, 6, 320),
)
"""Of EfficientNet-B0 (Tan and Le 2019, arXiv:1905.11946, table 1)."""

SCALES = {0: (1.0, 1.0), 1: (1.0, 1.1), 2: (1.1, 1.2)}
"""Lite number -> width and depth, as multiples of B0's."""

_STEM = 32
_EPSILON = 1e-3  # of the batch norms that are folded in


class EfficientNetLite(nn.Module):
  """The means over a patch of what some stages see in it.

  Attributes:
    lite: a key of `SCALES`.
    stages: those that are read, counted from 0, in rising order.
  """

  lite: int
  stages: tuple[int, ...]

  @nn.compact
  def __call__(self, patches: UInt8[Array, "patch px px 3"]) -> list[Float[Array, "patch _"]]:
    """A vector of each patch from each stage that is read."""
    pixels = (patches.astype(jnp.float32) - 127.0) / 128.0
    seen = nn.Conv(_STEM, (3, 3), 2, name="stem")(pixels)
    seen, pooled = jax.nn.relu6(seen), []
    for stage in range(self.stages[-1] + 1):
      _, kernel, stride, expansion, _ = STAGES[stage]
      for block in range(depth(self.lite, stage)):
        name, step = f"stage_{stage}_block_{block}", 1 if block else stride
        seen = Block(channels(self.lite)[stage], kernel, step, expansion, name=name)(seen)
      if stage in self.stages:
        pooled.append(seen.mean((1, 2)))
    return pooled

  @property
  def num_blocks(self) -> int:
    """See `hibio.encoders.base.Encoder`."""
    return len(self._blocks())

  def in_last_blocks(self, path: str, number: int) -> bool:
    """See `hibio.encoders.base.Encoder`."""
    return path.partition("/")[0] in self._blocks()[self.num_blocks - number :]

  def _blocks(self) -> list[str]:
    stages = range(self.stages[-1] + 1)
    return [f"stage_{stage}_block_{n}" for stage in stages for n in range(depth(self.lite, stage))]


class Block(nn.Module):
  """More channels, each looked at by itself, then fewer; added to what came in where it fits."""

  width: int
  kernel: int
  stride: int
  expansion: int

  @nn.compact
  def __call__(
    self, maps: Float[Array, "patch row column channel"]
  ) -> Float[Array, "patch new_row new_column {self.width}"]:
    seen = maps
    if self.expansion > 1:
      wide = self.expansion * maps.shape[-1]
      seen = jax.nn.relu6(Dense(wide, name="expand")(maps))
    seen = jax.nn.relu6(Depthwise(self.kernel, self.stride, name="depthwise")(seen))
    seen = Dense(self.width, name="project")(seen)
    return seen + maps if seen.shape == maps.shape else seen


class Depthwise(nn.Module):
  """A convolution of each channel by itself, as a sum of shifted products.

  On a processor XLA's own grouped convolution made the whole network five times slower.
  """

  kernel: int
  stride: int

  @nn.compact
  def __call__(
    self, maps: Float[Array, "patch row column channel"]
  ) -> Float[Array, "patch new_row new_column channel"]:
    side, stride, width = self.kernel, self.stride, maps.shape[-1]
    kernel = self.param("kernel", nn.initializers.lecun_normal(), (side, side, 1, width))
    total = self.param("bias", nn.initializers.zeros, (width,))[None, None, None]
    pads = jax.lax.padtype_to_pads(maps.shape[1:3], (side, side), (stride, stride), "SAME")
    padded = jnp.pad(maps, [(0, 0), *pads, (0, 0)])
    rows, columns = (-(-size // stride) * stride for size in maps.shape[1:3])
    for row in range(side):
      for column in range(side):
        shifted = padded[:, row : row + rows : stride, column : column + columns : stride]
        total = total + shifted * kernel[row, column][None, None]
    return total


def channels(lite: int) -> list[int]:
  """Of each stage: B0's times the width, to the nearest multiple of 8.

  >>> channels(0)
  [16, 24, 40, 80, 112, 192, 320]
  """
  return [max(8, int(SCALES[lite][0] * stage[-1] + 4) // 8 * 8) for stage in STAGES]


def depth(lite: int, stage: int) -> int:
  """Blocks of a stage; Lite variants leave the first and the last stage as they are."""
  blocks = STAGES[stage][0]
  return blocks if stage in (0, len(STAGES) - 1) else math.ceil(SCALES[lite][1] * blocks)


_PARTS = {
  # name: convolution, the norm behind it, what of a kernel (height, width, in, out) is read
  "expand": ("_expand_conv", "_bn0", np.s_[0, 0]),
  "depthwise": ("_depthwise_conv", "_bn1", np.s_[:]),
  "project": ("_project_conv", "_bn2", np.s_[0, 0]),
}


def from_torch(
  tensors: Mapping[str, np.ndarray], lite: int, stages: Sequence[int]
) -> dict[str, Any]:
  """Parameters of `EfficientNetLite`, of tensors named as in efficientnet-lite-pytorch.

  Raises:
    KeyError: a tensor is missing.
  """
  params, number = {"stem": _folded(tensors, "_conv_stem", "_bn0", np.s_[:])}, 0
  for stage in range(stages[-1] + 1):
    for block in range(depth(lite, stage)):
      params[f"stage_{stage}_block_{block}"] = {
        name: _folded(tensors, f"_blocks.{number}.{kernel}", f"_blocks.{number}.{norm}", part)
        for name, (kernel, norm, part) in _PARTS.items()
        if name != "expand" or STAGES[stage][3] > 1
      }
      number += 1
  return params


def _folded(
  tensors: Mapping[str, np.ndarray], kernel: str, norm: str, part: Any
) -> dict[str, np.ndarray]:
  """A convolution and the batch norm behind it as one kernel and one bias."""
  scale, shift, mean, variance = (
    tensors[f"{norm}.{name}"].astype(np.float64)
    for name in ("weight", "bias", "running_mean", "running_var")
  )
  scale = scale / np.sqrt(variance + _EPSILON)
  weights = tensors[f"{kernel}.weight"].transpose(2, 3, 1, 0) * scale
  return {
    "kernel": weights[part].astype(np.float32),
    "bias": (shift - mean * scale).astype(np.float32),
  }
