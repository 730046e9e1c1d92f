"""What can be said of a patch without learning anything: the image baselines, in one call."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

from hibio.tasks.colour import colour_statistics
from hibio.tasks.nuclei import nuclei_count
from hibio.tasks.texture import texture_statistics


def image_statistics(
  patches: UInt8[np.ndarray, "spot height width 3"], um_per_px: float
) -> dict[str, Float[np.ndarray, "spot k"]]:
  """Name of the baseline -> its numbers for each patch: "colour", "texture" and "nuclei"."""
  return {
    "colour": colour_statistics(patches),
    "texture": texture_statistics(patches),
    "nuclei": nuclei_count(patches, um_per_px)[:, None],
  }
