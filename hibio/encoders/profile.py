"""The whole profile as one vector: what a component analysis sees, patterned genes weighed up."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hibio.nn.dense import Dense


def profile_sum(
  expression: Float[Array, "window spot gene"],
  pattern: Float[Array, " gene"],
  gene_table: Float[Array, "gene width"],
) -> Float[Array, "window spot width"]:
  """A sum of gene vectors, each times how far the gene lies above or below its section's mean.

  A gene weighs by its pattern over the tissue (`hibio.keywords.pattern`): noise has none.
  The gene vectors are those that keywords, anchors and the readout use; with vectors drawn at
  random the sum keeps distances between profiles, so that it says something before any training.
  Nothing is divided by a number of genes: genes added to the panel leave old sums as they were.

  Args:
    expression: standardised in its section, 0 where not measured.
    pattern: what each gene weighs, squared; above 0.
  """
  weighed = (expression * jnp.sqrt(pattern)[None, None]).astype(gene_table.dtype)
  # Sums of neighbours nearly cancel: they are not to be rounded.
  return jnp.matmul(weighed, gene_table, preferred_element_type=jnp.float32)


class ProfileReader(nn.Module):
  """A profile's sum, whatever its size, as one vector."""

  width: int
  dtype: jax.typing.DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, summed: Float[Array, "window spot channel"]
  ) -> Float[Array, "window spot width"]:
    normed = nn.LayerNorm(name="norm")(summed.astype(jnp.float32)).astype(self.dtype)
    return Dense(self.width, dtype=self.dtype, name="out")(normed)
