"""From the pixels of a patch to tokens: what a token is made of before tokens attend to each other.

Each stem is called in the image encoder and leaves its parameters there.
"""

from __future__ import annotations

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Shaped, UInt8

from hibio.configs import TransformerConfig
from hibio.nn.layers import Dense, Transformer

_FEWEST_CHANNELS = 16


def pieces(
  pixels: Float[Array, "patch height width 3"], width: int, token_px: int, dtype: DTypeLike
) -> Float[Array, "patch token {width}"]:
  """Square pieces, each by one linear map of its pixels.

  References:
    Dosovitskiy et al. 2021, arXiv:2010.11929.
  """
  return Dense(width, dtype=dtype, name="token")(cut(pixels, token_px))


def convolutions(
  pixels: Float[Array, "patch height width 3"], width: int, token_px: int, dtype: DTypeLike
) -> Float[Array, "patch token {width}"]:
  """A pyramid of 3 x 3 convolutions, each halving the patch, until a pixel is a token.

  Texture is how pixels lie beside each other, which one linear map cannot say. `token_px` is a
  power of two.

  References:
    Xiao et al. 2021, arXiv:2106.14881 (early convolutions help transformers see better).
  """
  for number, channels in enumerate(convolution_channels(width, token_px)):
    pixels = nn.Conv(
      channels, (3, 3), (2, 2), padding=1, dtype=dtype, name=f"convolution_{number}"
    )(pixels)
    normed = nn.LayerNorm(name=f"norm_{number}")(pixels.astype(jnp.float32))
    pixels = nn.gelu(normed.astype(dtype), approximate=True)
  tokens = pixels.reshape(len(pixels), -1, pixels.shape[-1])
  return Dense(width, dtype=dtype, name="token")(tokens)


STEMS: dict[str, Callable[[Array, int, int, DTypeLike], Array]] = {
  "pieces": pieces,
  "convolutions": convolutions,
}
"""(pixels, channels of a token, its side in pixels, dtype) -> tokens, row by row."""


def convolution_channels(width: int, token_px: int) -> list[int]:
  """Channels of each convolution: twice as many whenever the sides are halved, up to `width`."""
  halvings = token_px.bit_length() - 1
  return [max(width >> (halvings - 1 - n), _FEWEST_CHANNELS) for n in range(halvings)]


def cut(
  pixels: Shaped[Array, "patch height width 3"], token_px: int
) -> Shaped[Array, "patch token channel"]:
  """Square pieces of each patch, row by row, with their pixels as channels."""
  num, height, width, _ = pixels.shape
  rows, columns = height // token_px, width // token_px
  split = pixels.reshape(num, rows, token_px, columns, token_px, 3)
  return split.transpose(0, 1, 3, 2, 4, 5).reshape(num, rows * columns, token_px * token_px * 3)


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
