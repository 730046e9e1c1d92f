"""A vision transformer, trained from scratch, and the stems that make its tokens of pixels.

Each stem is called in the encoder and leaves its parameters there.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Shaped

from hibio.batch import Batch
from hibio.encoders.base import ImageEncoder, check_heads, require
from hibio.nn.layers import Dense, Transformer, in_last_blocks, transformer_flops

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


class VisionTransformer(ImageEncoder):
  """Tokens of a patch with learned positions attend to each other; their mean is the patch.

  References:
    Dosovitskiy et al. 2021, arXiv:2010.11929.
  """

  @nn.compact
  def __call__(self, batch: Batch) -> Float[Array, "window spot channel"]:
    config, patches = self.config, batch.patches
    windows, spots = patches.shape[:2]
    pixels = patches.reshape(windows * spots, *patches.shape[2:]).astype(self.dtype)
    pixels = (pixels / 255.0 - _MEAN) / _SPREAD
    tokens = STEMS[config.image_stem](pixels, config.image.width, config.token_px, self.dtype)
    positions = self.param("positions", nn.initializers.normal(0.02), tokens.shape[1:])
    tokens = tokens + positions[None].astype(self.dtype)
    tokens = Transformer(config.image, self.dtype, name="transformer")(tokens)
    return tokens.mean(1).reshape(windows, spots, config.image.width)

  @property
  def num_blocks(self) -> int:
    return self.config.image.depth

  def in_last_blocks(self, path: str, number: int) -> bool | np.ndarray:
    return in_last_blocks(path, "transformer", self.num_blocks, number)

  def check(self, batch: Batch) -> None:
    config, side = self.config, batch.patches.shape[-2]
    token, stem = config.token_px, config.image_stem
    require(side % token == 0, "token_px", token, f"a divisor of patch_px = {side}")
    require(stem in STEMS, "image_stem", stem, f"one of {', '.join(STEMS)}")
    require(
      stem != "convolutions" or token & (token - 1) == 0,
      "token_px",
      token,
      "a power of two, as each convolution halves the patch",
    )
    check_heads("image", config.image.width, config.image.num_heads)

  def flops(self) -> float:
    config = self.config
    num_tokens = (config.patch_px // config.token_px) ** 2
    sides = [config.patch_px >> number for number in range(config.token_px.bit_length())]
    channels = [3, *convolution_channels(config.image.width, config.token_px)]
    if config.image_stem == "pieces":
      sides, channels = sides[:1], [3 * config.token_px**2]
    layers = zip(sides[1:], itertools.pairwise(channels), strict=True)
    convolutions = sum(2 * side**2 * 9 * before * after for side, (before, after) in layers)
    projection = 2 * num_tokens * channels[-1] * config.image.width
    return float(convolutions + projection + transformer_flops(config.image, num_tokens))
