"""From an H&E patch to one vector: a vision transformer trained from scratch."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from hibio.configs import TransformerConfig
from hibio.nn.dense import Dense
from hibio.nn.transformer import Transformer

_MEAN, _SPREAD = 0.65, 0.2
"""Rough mean and standard deviation of H&E pixels over all colours and stains."""


def cut(
  patches: UInt8[Array, "patch height width 3"], token_px: int
) -> UInt8[Array, "patch token channel"]:
  """Square pieces of each patch, row by row, with their pixels as channels."""
  num, height, width, _ = patches.shape
  rows, columns = height // token_px, width // token_px
  pieces = patches.reshape(num, rows, token_px, columns, token_px, 3)
  return pieces.transpose(0, 1, 3, 2, 4, 5).reshape(num, rows * columns, token_px * token_px * 3)


class ImageEncoder(nn.Module):
  """Pieces of a patch with learned positions attend to each other; their mean is the patch.

  References:
    Dosovitskiy et al. 2021, arXiv:2010.11929.
  """

  config: TransformerConfig
  token_px: int
  dtype: jax.typing.DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, patches: UInt8[Array, "window spot height width 3"]
  ) -> Float[Array, "window spot channel"]:
    windows, spots = patches.shape[:2]
    pixels = cut(patches.reshape(windows * spots, *patches.shape[2:]), self.token_px)
    tokens = (pixels.astype(self.dtype) / 255.0 - _MEAN) / _SPREAD
    tokens = Dense(self.config.width, dtype=self.dtype, name="token")(tokens)
    positions = self.param("positions", nn.initializers.normal(0.02), tokens.shape[1:])
    tokens = tokens + positions[None].astype(self.dtype)
    tokens = Transformer(self.config, self.dtype, name="transformer")(tokens)
    return tokens.mean(1).reshape(windows, spots, self.config.width)
