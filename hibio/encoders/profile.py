"""The whole profile as one vector: what a component analysis sees, patterned genes weighed up."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hibio.nn.dense import Dense


class GeneProfile(nn.Module):
  """A sum of gene vectors, each times how far the gene lies above or below its section's mean.

  A gene weighs by its pattern over the tissue (`hibio.keywords.pattern`): noise has none.
  The gene vectors are those that keywords, anchors and the readout use; with vectors drawn at
  random the sum keeps distances between profiles, so that it says something before any training.
  """

  width: int
  dtype: jax.typing.DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self,
    expression: Float[Array, "window spot gene"],
    pattern: Float[Array, " gene"],
    gene_table: Float[Array, "gene width"],
  ) -> Float[Array, "window spot width"]:
    """The vector of each spot.

    Args:
      expression: standardised in its section, 0 where not measured.
      pattern: what each gene weighs, squared; above 0.
    """
    # No sum over genes is divided by: genes added to the panel leave old ones as they were.
    weighed = (expression * jnp.sqrt(pattern)[None, None]).astype(self.dtype)
    summed = weighed @ gene_table.astype(self.dtype)
    normed = nn.LayerNorm(name="norm")(summed.astype(jnp.float32)).astype(self.dtype)
    return Dense(self.width, dtype=self.dtype, name="out")(normed)
