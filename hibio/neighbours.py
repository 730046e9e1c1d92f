"""Which spots lie close together: one rule for masked negatives, region borders and smoothness."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def near(
  position_um: Float[Array, "2"],
  section: Int[Array, ""],
  positions_um: Float[Array, "spot 2"],
  sections: Int[Array, " spot"],
  radius_um: float,
) -> Bool[Array, " spot"]:
  """Spots of the same section closer than `radius_um`; a spot is near itself."""
  offsets = positions_um - position_um[None, :]
  # No expansion of the square: coordinates reach 1e5 um, and float32 would lose the difference.
  return ((offsets**2).sum(-1) < radius_um**2) & (sections == section)


def mean_within(
  values: Float[Array, "window spot column"],
  positions_um: Float[Array, "window spot 2"],
  known: Bool[Array, "window spot"],
  *,
  radius_um: float,
) -> Float[Array, "window spot column"]:
  """The mean over the spots of the window within `radius_um`, itself too; 0 where there are none.

  Args:
    known: spots whose values mean something; the others are in nobody's mean.
  """
  offsets = positions_um[:, :, None] - positions_um[:, None]
  weight = (((offsets**2).sum(-1) < radius_um**2) & known[:, None]).astype(values.dtype)
  return weight @ values / jnp.maximum(weight.sum(-1, keepdims=True), 1.0)
