"""From a spot's keyword genes to one vector: a transformer over a set, whose order says nothing."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hibio.configs import TransformerConfig
from hibio.encoders.tokens import TOKENS
from hibio.nn.dense import Dense
from hibio.nn.pooling import SeedPooling
from hibio.nn.transformer import Transformer
from hibio.outputs import Keywords


class GeneEncoder(nn.Module):
  """Keyword genes attend to each other and are pooled by a seed that prefers the heavy ones.

  Attributes:
    told: a name in `tokens.TOKENS`.
  """

  config: TransformerConfig
  told: str = "values"
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
    told, pull = TOKENS[self.told](keywords, measured_share)
    values = told.astype(self.dtype)
    values = nn.gelu(Dense(width, dtype=self.dtype, name="value_in")(values))
    values = Dense(width, dtype=self.dtype, name="value_out")(values)
    tokens = identity.astype(self.dtype) + values

    windows, spots, num_keywords, _ = tokens.shape
    tokens = tokens.reshape(windows * spots, num_keywords, width)
    mask = keywords.mask.reshape(windows * spots, num_keywords)
    pull = pull.reshape(windows * spots, num_keywords)
    tokens = Transformer(self.config, self.dtype, name="transformer")(tokens, mask)
    trust = self.param("trust", nn.initializers.ones, ())
    pooled = SeedPooling(self.config.num_heads, self.dtype, name="pooling")(
      tokens, trust * pull, mask
    )
    return pooled.reshape(windows, spots, width)
