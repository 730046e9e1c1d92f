"""From a spot's keyword genes to one vector: a transformer over a set, whose order says nothing."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hibio.configs import TransformerConfig
from hibio.expression import log_expression
from hibio.nn.dense import Dense
from hibio.nn.pooling import SeedPooling
from hibio.nn.transformer import Transformer
from hibio.outputs import Keywords

_MIN_WEIGHT = 1e-6


class GeneEncoder(nn.Module):
  """Keyword genes attend to each other and are pooled by a seed that prefers the heavy ones."""

  config: TransformerConfig
  dtype: jax.typing.DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self,
    keywords: Keywords,
    gene_table: Float[Array, "gene width"],
    measured_share: Float[Array, " window"],
  ) -> Float[Array, "window spot width"]:
    """The vector of each spot.

    Args:
      gene_table: a vector a gene of the panel.
      measured_share: share of the panel that the section's platform measures.
    """
    width = self.config.width
    # Rows of length about 1 become as large as the value part of a token.
    identity = jnp.take(gene_table, keywords.gene, axis=0, mode="clip") * width**0.5
    values = _values(keywords, measured_share).astype(self.dtype)
    values = nn.gelu(Dense(width, dtype=self.dtype, name="value_in")(values))
    values = Dense(width, dtype=self.dtype, name="value_out")(values)
    tokens = identity.astype(self.dtype) + values

    windows, spots, num_keywords, _ = tokens.shape
    tokens = tokens.reshape(windows * spots, num_keywords, width)
    mask = keywords.mask.reshape(windows * spots, num_keywords)
    weight = keywords.weight.reshape(windows * spots, num_keywords)
    tokens = Transformer(self.config, self.dtype, name="transformer")(tokens, mask)
    trust = self.param("trust", nn.initializers.ones, ())
    bias = trust * jnp.log(jnp.maximum(weight, _MIN_WEIGHT))
    pooled = SeedPooling(self.config.num_heads, self.dtype, name="pooling")(tokens, bias, mask)
    return pooled.reshape(windows, spots, width)


def _values(
  keywords: Keywords, measured_share: Float[Array, " window"]
) -> Float[Array, "window spot keyword 4"]:
  """What is known of a keyword beside which gene it is, each about 0 to 1."""
  weight = keywords.weight
  heavier = (weight[..., None, :] > weight[..., :, None]).sum(-1, dtype=jnp.float32)
  share = jnp.broadcast_to(measured_share[:, None, None], weight.shape)
  expression = log_expression(keywords.fraction) / 8.0
  return jnp.stack([expression, weight, heavier / weight.shape[-1], share], axis=-1)
