"""Attention with heads as a leading axis, in which the matrix products are plain batched ones."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hibio.nn.dense import Dense

MASKED = -1e30  # finite: a row in which everything is masked keeps a finite gradient


def attend(
  query: Float[Array, "*batch query channel"],
  key: Float[Array, "*batch key channel"],
  value: Float[Array, "*batch key channel"],
  bias: Float[Array, "..."] | None = None,
  mask: Bool[Array, "..."] | None = None,
) -> Float[Array, "*batch query channel"]:
  """Mean of the values for each query, weighted by softmax(query . key / sqrt(channel) + bias).

  A query whose keys are all masked gets the plain mean of all values.

  Args:
    bias: added to the logits, with as many axes as they have.
    mask: True for keys that a query sees, with as many axes as the logits.

  References:
    Vaswani et al. 2017, arXiv:1706.03762, equation 1.
  """
  logits = query @ jnp.swapaxes(key, -1, -2) * (query.shape[-1] ** -0.5)
  logits = logits.astype(jnp.float32)
  if bias is not None:
    logits = logits + bias
  if mask is not None:
    logits = jnp.where(mask, logits, MASKED)
  return jax.nn.softmax(logits, axis=-1).astype(value.dtype) @ value


class SelfAttention(nn.Module):
  """Every token of a set attends to every other one that is not masked."""

  num_heads: int
  dtype: jax.typing.DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, tokens: Float[Array, "set token width"], mask: Bool[Array, "set token"] | None = None
  ) -> Float[Array, "set token width"]:
    sets, num_tokens, width = tokens.shape
    qkv = Dense(3 * width, dtype=self.dtype, name="qkv")(tokens)
    # Heads come first among the output channels, so that cutting those apart keeps heads whole.
    qkv = qkv.reshape(sets, num_tokens, self.num_heads, 3, width // self.num_heads)
    query, key, value = qkv.transpose(3, 0, 2, 1, 4)
    seen = None if mask is None else mask[:, None, None]
    mixed = attend(query, key, value, mask=seen).swapaxes(1, 2)
    return Dense(width, dtype=self.dtype, name="out")(mixed.reshape(tokens.shape))
