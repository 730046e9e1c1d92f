"""From an H&E patch to one vector: a vision transformer trained from scratch."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from hibio.configs import TransformerConfig
from hibio.encoders.stems import STEMS
from hibio.nn.transformer import Transformer

_MEAN, _SPREAD = 0.65, 0.2
"""Rough mean and standard deviation of H&E pixels over all colours and stains."""


class ImageEncoder(nn.Module):
  """Tokens of a patch with learned positions attend to each other; their mean is the patch.

  Attributes:
    stem: a name in `stems.STEMS`: how tokens are made of pixels.

  References:
    Dosovitskiy et al. 2021, arXiv:2010.11929.
  """

  config: TransformerConfig
  token_px: int
  stem: str = "convolutions"
  dtype: jax.typing.DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, patches: UInt8[Array, "window spot height width 3"]
  ) -> Float[Array, "window spot channel"]:
    windows, spots = patches.shape[:2]
    pixels = patches.reshape(windows * spots, *patches.shape[2:]).astype(self.dtype)
    pixels = (pixels / 255.0 - _MEAN) / _SPREAD
    tokens = STEMS[self.stem](pixels, self.config.width, self.token_px, self.dtype)
    positions = self.param("positions", nn.initializers.normal(0.02), tokens.shape[1:])
    tokens = tokens + positions[None].astype(self.dtype)
    tokens = Transformer(self.config, self.dtype, name="transformer")(tokens)
    return tokens.mean(1).reshape(windows, spots, self.config.width)
