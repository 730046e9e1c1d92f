"""Learned inverse temperatures: at most 100, and never stuck there."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

LOG_LIMIT = 4.6051702
"""ln 100, the limit of CLIP (Radford et al. 2021, arXiv:2103.00020, section 2.5)."""


@jax.custom_vjp
def inverse_temperature(log_scale: Float[Array, ""]) -> Float[Array, ""]:
  """exp(log_scale), at most 100.

  Beyond the limit only a gradient that leads back below it passes. The gradient of a plain minimum
  is zero there, so that the scale could never return.
  """
  return jnp.exp(jnp.minimum(log_scale, LOG_LIMIT))


def at_limit(log_scale: Float[Array, ""]) -> Float[Array, ""]:
  """1 where the limit holds the inverse temperature back, else 0."""
  return (log_scale >= LOG_LIMIT).astype(jnp.float32)


def _forward(log_scale):
  scale = inverse_temperature(log_scale)
  return scale, (scale, log_scale >= LOG_LIMIT)


def _backward(residuals, gradient):
  scale, at_limit = residuals
  gradient = gradient * scale
  return (jnp.where(at_limit, jnp.maximum(gradient, 0.0), gradient),)


inverse_temperature.defvjp(_forward, _backward)
