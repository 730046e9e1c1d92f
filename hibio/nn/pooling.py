"""One vector from a set of tokens."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hibio.nn.attention import MASKED
from hibio.nn.dense import Dense


class SeedPooling(nn.Module):
  """A learned seed attends to the tokens, drawn to each by a bias; an empty set pools to 0.

  The seed never changes, so that its product with the keys is one linear map of the tokens, and
  values are projected after they are pooled: the same function at a fraction of the work.
  """

  num_heads: int
  dtype: jax.typing.DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self,
    tokens: Float[Array, "set token width"],
    bias: Float[Array, "set token"],
    mask: Bool[Array, "set token"],
  ) -> Float[Array, "set width"]:
    sets, _, width = tokens.shape
    logits = Dense(self.num_heads, use_bias=False, dtype=self.dtype, name="seed")(tokens)
    logits = logits.swapaxes(1, 2).astype(jnp.float32) + bias[:, None]
    attention = jax.nn.softmax(jnp.where(mask[:, None], logits, MASKED), axis=-1)
    attention = jnp.where(mask[:, None], attention, 0.0).astype(self.dtype)
    pooled = (attention @ tokens).reshape(sets, self.num_heads * width)
    return Dense(width, dtype=self.dtype, name="out")(pooled)
