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
