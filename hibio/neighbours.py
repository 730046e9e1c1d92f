"""Which spots lie close together: one rule for masked negatives, region borders and smoothness."""

from __future__ import annotations

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
