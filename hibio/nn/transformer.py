"""A pre-norm transformer over sets of tokens; depth is unrolled, or scanned with recomputation."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hibio.configs import TransformerConfig
from hibio.nn.attention import SelfAttention
from hibio.nn.dense import Dense


class FeedForward(nn.Module):
  """Two layers over each token by itself."""

  hidden: int
  dtype: jax.typing.DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, tokens: Float[Array, "*dims width"]) -> Float[Array, "*dims width"]:
    up = Dense(self.hidden, dtype=self.dtype, name="up")(tokens)
    # The tanh form: several times faster than erf on a processor, the same to three digits.
    up = nn.gelu(up, approximate=True)
    return Dense(tokens.shape[-1], dtype=self.dtype, name="down")(up)


class Block(nn.Module):
  """Attention, then a feed-forward part, each added to what came in."""

  config: TransformerConfig
  dtype: jax.typing.DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, tokens: Float[Array, "set token width"], mask: Bool[Array, "set token"] | None = None
  ) -> Float[Array, "set token width"]:
    config = self.config
    normed = _normed("norm_attention", tokens)
    tokens = tokens + SelfAttention(config.num_heads, self.dtype, name="attention")(normed, mask)
    normed = _normed("norm_mlp", tokens)
    hidden = int(config.mlp_ratio * config.width)
    return tokens + FeedForward(hidden, self.dtype, name="mlp")(normed)


class Transformer(nn.Module):
  """`config.depth` blocks and a last norm; no positions of its own."""

  config: TransformerConfig
  dtype: jax.typing.DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, tokens: Float[Array, "set token width"], mask: Bool[Array, "set token"] | None = None
  ) -> Float[Array, "set token width"]:
    if self.config.scan:
      block = Block(self.config, self.dtype, name="blocks")
      scan = nn.scan(
        # A scan without recomputation needs more memory than unrolled blocks do.
        nn.remat(_carry, prevent_cse=False),
        variable_axes={"params": 0},
        split_rngs={"params": True},
        in_axes=nn.broadcast,
        length=self.config.depth,
      )
      tokens, _ = scan(block, tokens, mask)
    else:
      for depth in range(self.config.depth):
        tokens = Block(self.config, self.dtype, name=f"block_{depth}")(tokens, mask)
    return _normed("norm", tokens)


def _carry(block, tokens, mask):
  return block(tokens, mask), None


def _normed(name: str, tokens: Float[Array, "set token width"]) -> Float[Array, "set token width"]:
  """Layer norm in float32, with parameters of that name in the module that calls."""
  return nn.LayerNorm(name=name)(tokens.astype(jnp.float32)).astype(tokens.dtype)
