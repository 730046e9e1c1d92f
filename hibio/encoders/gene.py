"""From keyword genes, and from the whole profile, to a vector a spot."""

from __future__ import annotations

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hibio.batch import Batch
from hibio.encoders.base import GeneEncoder, check_heads, require
from hibio.expression import log_expression
from hibio.nn.layers import Dense, SeedPooling, Transformer, in_last_blocks, transformer_flops
from hibio.outputs import Keywords

_MIN_WEIGHT = 1e-6


def values(
  keywords: Keywords, measured_share: Float[Array, " window"]
) -> tuple[Float[Array, "window spot keyword 4"], Float[Array, "window spot keyword"]]:
  """How much there is of each keyword, how heavy it is, its rank and the share of genes measured.

  Returns:
    Numbers of each keyword, about 0 to 1, and how strongly it draws the pooling: log weight.
  """
  share = jnp.broadcast_to(measured_share[:, None, None], keywords.weight.shape)
  expression = log_expression(keywords.fraction) / 8.0
  told = jnp.stack([expression, keywords.weight, _rank(keywords), share], axis=-1)
  return told, jnp.log(jnp.maximum(keywords.weight, _MIN_WEIGHT))


def sentence(
  keywords: Keywords, measured_share: Float[Array, " window"]
) -> tuple[Float[Array, "window spot keyword 1"], Float[Array, "window spot keyword"]]:
  """Only the order of the keywords, as in a gene sentence; all draw the pooling alike.

  References:
    Chen et al. 2025, doi:10.1038/s41592-025-02707-1 (gene sentences of OmiCLIP).
  """
  del measured_share
  return _rank(keywords)[..., None], jnp.zeros_like(keywords.weight)


TOKENS: dict[str, Callable[..., tuple[Array, Array]]] = {"values": values, "sentence": sentence}
"""(keywords, share of the panel that is measured) -> (numbers of each keyword, pull on pooling)."""


def _rank(keywords: Keywords) -> Float[Array, "window spot keyword"]:
  weight = keywords.weight
  heavier = (weight[..., None, :] > weight[..., :, None]).sum(-1, dtype=jnp.float32)
  return heavier / weight.shape[-1]


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


class KeywordTransformer(GeneEncoder):
  """Keyword genes attend to each other and are pooled by a seed that prefers the heavy ones."""

  @nn.compact
  def __call__(
    self,
    keywords: Keywords,
    gene_table: Float[Array, "gene width"],
    measured_share: Float[Array, " window"],
  ) -> Float[Array, "window spot width"]:
    config = self.config.gene
    # Rows of length about 1 become as large as the value part of a token.
    identity = jnp.take(gene_table, keywords.gene, axis=0, mode="clip") * config.width**0.5
    told, pull = TOKENS[self.config.gene_input](keywords, measured_share)
    values = told.astype(self.dtype)
    values = nn.gelu(Dense(config.width, dtype=self.dtype, name="value_in")(values))
    values = Dense(config.width, dtype=self.dtype, name="value_out")(values)
    tokens = identity.astype(self.dtype) + values

    windows, spots, num_keywords, _ = tokens.shape
    tokens = tokens.reshape(windows * spots, num_keywords, config.width)
    mask = keywords.mask.reshape(windows * spots, num_keywords)
    pull = pull.reshape(windows * spots, num_keywords)
    tokens = Transformer(config, self.dtype, name="transformer")(tokens, mask)
    trust = self.param("trust", nn.initializers.ones, ())
    pooled = SeedPooling(config.num_heads, self.dtype, name="pooling")(tokens, trust * pull, mask)
    return pooled.reshape(windows, spots, config.width)

  @property
  def num_blocks(self) -> int:
    return self.config.gene.depth

  def in_last_blocks(self, path: str, number: int) -> bool | np.ndarray:
    return in_last_blocks(path, "transformer", self.num_blocks, number)

  def check(self, batch: Batch) -> None:
    told, gene = self.config.gene_input, self.config.gene
    require(told in TOKENS, "gene_input", told, f"one of {', '.join(TOKENS)}")
    check_heads("gene", gene.width, gene.num_heads)

  def flops(self) -> float:
    keywords = self.config.keywords.num_keywords
    width, heads = self.config.gene.width, self.config.gene.num_heads
    values = 2 * keywords * (4 * width + width**2)
    pooling = 4 * keywords * width * heads + 2 * heads * width**2
    return float(values + pooling + transformer_flops(self.config.gene, keywords))
