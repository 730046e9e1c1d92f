"""The gradient norms of the last steps: what is usual, and how many steps were no good."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

STEPS = 200
ENOUGH = 64
"""Norms that must be known before one can be told to be unusual."""

LEAST_FACTOR = 4.0
"""A spike is at least so many times the usual norm, however alike the norms are."""


def none_yet() -> Float[Array, " recent"]:
  """Before the first step: nothing is known (NaN)."""
  return jnp.full(STEPS, jnp.nan, jnp.float32)


def with_step(
  recent: Float[Array, " recent"], step: Int[Array, ""], norm: Float[Array, ""]
) -> Float[Array, " recent"]:
  """The log of this step's norm takes the place of the oldest; infinite where it is no number."""
  log_norm = jnp.where(jnp.isfinite(norm), jnp.log(jnp.maximum(norm, 1e-30)), jnp.inf)
  return recent.at[step % STEPS].set(log_norm)


def skipped(recent: Float[Array, " recent"]) -> Int[Array, ""]:
  """How many of these steps gave nothing finite."""
  return jnp.isinf(recent).sum(dtype=jnp.int32)


def is_spike(
  recent: Float[Array, " recent"], norm: Float[Array, ""], sigmas: float
) -> Bool[Array, ""]:
  """Whether a norm lies more than `sigmas` standard deviations of the log above the usual.

  Spikes are among the norms of later steps: where the gradient has become larger for good, half a
  dozen of them are enough to be usual.

  Args:
    sigmas: 0 finds none.
  """
  known = jnp.isfinite(recent)
  number = jnp.maximum(known.sum(), 1).astype(jnp.float32)
  mean = jnp.where(known, recent, 0.0).sum() / number
  variance = jnp.where(known, (recent - mean) ** 2, 0.0).sum() / number
  limit = mean + jnp.maximum(sigmas * jnp.sqrt(variance), jnp.log(jnp.float32(LEAST_FACTOR)))
  return (sigmas > 0) & (known.sum() >= ENOUGH) & (jnp.log(norm) > limit)
