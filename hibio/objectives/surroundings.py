"""What a spot's surroundings show: a target with less noise than the spot's own counts."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


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
  offsets = positions_um[:, :, None] - positions_um[:, None]
  near = ((offsets**2).sum(-1) < radius_um**2) & known[:, None]
  weight = near.astype(values.dtype)
  mean = weight @ values / jnp.maximum(weight.sum(-1, keepdims=True), 1.0)
  return jnp.where(known[..., None], (1.0 - share) * values + share * mean, values)
