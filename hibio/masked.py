"""Masked means and softmaxes, entropies, unit vectors: what objectives and tasks are made of."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

_MASKED = -1e30  # finite: a row in which everything is masked keeps a finite gradient
_TINY = 1e-30


def masked_mean(values: Float[Array, "*dims"], mask: Bool[Array, "*dims"]) -> Float[Array, ""]:
  """Mean of `values` where `mask`; 0 if nothing is selected."""
  # Count in float32: a bfloat16 count stops being exact at 256.
  total = jnp.where(mask, values, 0.0).sum(dtype=jnp.float32)
  return total / jnp.maximum(mask.sum(dtype=jnp.float32), 1.0)


def masked_log_softmax(
  logits: Float[Array, "*dims choice"], mask: Bool[Array, "*dims choice"]
) -> Float[Array, "*dims choice"]:
  """Log-probabilities over the choices in `mask`; 0 elsewhere, so that products stay finite."""
  return jnp.where(mask, jax.nn.log_softmax(jnp.where(mask, logits, _MASKED), axis=-1), 0.0)


def masked_softmax(
  logits: Float[Array, "*dims choice"], mask: Bool[Array, "*dims choice"]
) -> Float[Array, "*dims choice"]:
  """Probabilities over the choices in `mask`; 0 elsewhere, and everywhere if there are none."""
  return jnp.where(mask, jnp.exp(masked_log_softmax(logits, mask)), 0.0)


def safe_log(values: Float[Array, "*dims"]) -> Float[Array, "*dims"]:
  """Log of probabilities; of 0 it is a large negative number with a gradient of 0."""
  return jnp.log(jnp.maximum(values, _TINY))


def entropy(probabilities: Float[Array, "*dims choice"]) -> Float[Array, "*dims"]:
  """Entropy over the last axis, in nats."""
  return -(probabilities * safe_log(probabilities)).sum(-1)


def unit(vectors: Float[Array, "*dims width"]) -> Float[Array, "*dims width"]:
  """Vectors scaled to length 1, on the device; a zero vector stays zero."""
  return vectors * jax.lax.rsqrt(jnp.maximum((vectors**2).sum(-1, keepdims=True), 1e-12))


def unit_rows(vectors: Float[np.ndarray, "*dims width"]) -> Float[np.ndarray, "*dims width"]:
  """The same in NumPy, for features that have left the device; they keep their type."""
  return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
