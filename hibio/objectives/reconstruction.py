"""Expression read back from an embedding: keyword genes first, no measured gene forgotten."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def keyword_squared_error(
  predicted: Float[Array, "spot gene"],
  expression: Float[Array, "spot gene"],
  measured: Bool[Array, "spot gene"],
  keyword_weight: Float[Array, "spot gene"],
) -> Float[Array, " spot"]:
  """Weighted mean over genes of the squared error of standardised expression.

  Half of the weight is spread evenly over the measured genes, half lies on the spot's keywords;
  a spot without keywords has the even half only, one without measured genes gives 0.
  """
  even = _shares(measured.astype(predicted.dtype))
  keyword = _shares(jnp.where(measured, keyword_weight, 0.0))
  return (_shares(even + keyword) * (predicted - expression) ** 2).sum(-1)


def _shares(weight):
  return weight / jnp.maximum(weight.sum(-1, keepdims=True), 1e-6)
