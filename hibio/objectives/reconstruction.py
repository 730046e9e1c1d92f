"""What a spot's surroundings show: a target with less noise than the spot's own counts."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hibio.neighbours import mean_within


def blended(
  values: Float[Array, "window spot column"],
  positions_um: Float[Array, "window spot 2"],
  known: Bool[Array, "window spot"],
  *,
  radius_um: float,
  share: float,
) -> Float[Array, "window spot column"]:
  """Each spot's values, of which `share` is the mean over the spots within `radius_um`, itself too.

  The counts of one spot are mostly noise, those of its neighbourhood much less so; what differs
  between a spot and its neighbours stays in the rest.

  Args:
    known: spots whose values mean something; the others are in nobody's mean.
  """
  mean = mean_within(values, positions_um, known, radius_um=radius_um)
  return jnp.where(known[..., None], (1.0 - share) * values + share * mean, values)


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
