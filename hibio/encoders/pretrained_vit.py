"""The vision transformers that pathology's encoders are, as one module with a few switches.

What differs between them only in how it is written down is settled when weights are converted; see
`hibio.encoders.vit_from_torch`.
"""

from __future__ import annotations

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from hibio.configs import TransformerConfig
from hibio.encoders.vit import cut
from hibio.nn.layers import Dense, SelfAttention, Transformer, in_last_blocks, normed

_SCANNED = 24  # blocks, from which on unrolling them takes minutes to compile
POOLER, POOLER_HEADS, POOLER_EPSILON = "pooler", 8, 1e-5


class PretrainedViT(nn.Module):
  """A class token, registers and pieces of the patch attend to each other.

  Attributes:
    width: channels of a token.
    depth: number of blocks.
    num_heads: of attention.
    hidden: width inside the feed-forward part.
    token_px: side of a piece in pixels.
    px: side of the patch.
    registers: further tokens, which are not read.
    gated: SwiGLU in place of GELU.
    epsilon: of norms.
    mean: of pixels between 0 and 1, by colour.
    std: their standard deviation.
    reads: some of "class", the class token, "mean", that of the pieces, and "pooled".
    pooled: width of what an attention pooler reads of all tokens; 0 without one.

  References:
    Dosovitskiy et al. 2021, arXiv:2010.11929; Oquab et al. 2023, arXiv:2304.07193 (DINOv2);
    Darcet et al. 2023, arXiv:2309.16588 (registers); Shazeer 2020, arXiv:2002.05202 (SwiGLU);
    Yu et al. 2022, arXiv:2205.01917 (the pooler of CoCa).
  """

  width: int
  depth: int
  num_heads: int
  hidden: int
  token_px: int
  px: int = 224
  registers: int = 0
  gated: bool = False
  epsilon: float = 1e-6
  mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # ImageNet's
  std: tuple[float, float, float] = (0.229, 0.224, 0.225)
  reads: tuple[str, ...] = ("class",)
  pooled: int = 0

  @nn.compact
  def __call__(self, patches: UInt8[Array, "patch px px 3"]) -> list[Float[Array, "patch _"]]:
    """A vector of each patch for each of `reads`."""
    mean, std = (jnp.asarray(of)[None, None, None] for of in (self.mean, self.std))
    pixels = (patches.astype(jnp.float32) / 255.0 - mean) / std
    tokens = Dense(self.width, name="token")(cut(pixels, self.token_px))
    init = nn.initializers.normal(0.02)
    tokens = tokens + self.param("positions", init, tokens.shape[1:])[None]
    prefix = self.param("prefix", init, (1 + self.registers, self.width))
    prefix = jnp.broadcast_to(prefix[None], (len(tokens), *prefix.shape))
    block = functools.partial(Block, hidden=self.hidden, gated=self.gated, epsilon=self.epsilon)
    transformer = Transformer(self.config, block=block, epsilon=self.epsilon, name="transformer")
    tokens = transformer(jnp.concatenate([prefix, tokens], axis=1))
    found = {"class": tokens[:, 0], "mean": tokens[:, 1 + self.registers :].mean(1)}
    if self.pooled:
      found["pooled"] = AttentionPooler(self.pooled, name=POOLER)(tokens)
    return [found[name] for name in self.reads]

  @property
  def config(self) -> TransformerConfig:
    """Its size, as other transformers of the library tell theirs."""
    return TransformerConfig(
      self.width, self.depth, self.num_heads, self.hidden / self.width, self.depth >= _SCANNED
    )

  @property
  def num_blocks(self) -> int:
    """See `hibio.encoders.base.Encoder`."""
    return self.depth

  def in_last_blocks(self, path: str, number: int) -> bool | np.ndarray:
    """See `hibio.encoders.base.Encoder`."""
    return path.startswith(POOLER) or in_last_blocks(path, "transformer", self.depth, number)

  def width_of(self, read: str) -> int:
    """Of one of `reads`."""
    return self.pooled if read == "pooled" else self.width


class Block(nn.Module):
  """Attention, then a feed-forward part, each added to what came in."""

  config: TransformerConfig
  dtype: jax.typing.DTypeLike
  hidden: int
  gated: bool
  epsilon: float

  @nn.compact
  def __call__(
    self, tokens: Float[Array, "set token width"], mask: None = None
  ) -> Float[Array, "set token width"]:
    attention = SelfAttention(
      self.config.num_heads, self.dtype, self.config.attention, name="attention"
    )
    tokens = tokens + attention(normed("norm_attention", tokens, self.epsilon), mask)
    feed_forward = FeedForward(self.hidden, self.gated, self.dtype, name="mlp")
    return tokens + feed_forward(normed("norm_mlp", tokens, self.epsilon))


class FeedForward(nn.Module):
  """Two layers over each token by itself: exact GELU between them, or SwiGLU."""

  hidden: int
  gated: bool
  dtype: jax.typing.DTypeLike

  @nn.compact
  def __call__(self, tokens: Float[Array, "*dims width"]) -> Float[Array, "*dims width"]:
    up = Dense(self.hidden * (2 if self.gated else 1), dtype=self.dtype, name="up")(tokens)
    if self.gated:
      gate, up = jnp.split(up, 2, axis=-1)
      up = jax.nn.silu(gate) * up
    else:
      up = nn.gelu(up, approximate=False)
    return Dense(tokens.shape[-1], dtype=self.dtype, name="down")(up)


class AttentionPooler(nn.Module):
  """A learned query looks at all tokens by several heads; what they see is joined and normed.

  The query is always the same, so that its product with the keys is one linear map of the tokens;
  values are projected after they are pooled.
  """

  width: int

  @nn.compact
  def __call__(self, tokens: Float[Array, "set token _"]) -> Float[Array, "set {self.width}"]:
    tokens = normed("norm_tokens", tokens, POOLER_EPSILON)
    logits = Dense(POOLER_HEADS, use_bias=False, name="seed")(tokens)
    seen = jax.nn.softmax(logits.swapaxes(1, 2), axis=-1) @ tokens
    joined = Dense(self.width, name="out")(seen.reshape(len(tokens), 1, -1))
    return normed("norm", joined, POOLER_EPSILON)[:, 0]
