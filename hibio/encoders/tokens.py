"""What the gene tower is told of each keyword gene beside which one it is."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from hibio.expression import log_expression
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
