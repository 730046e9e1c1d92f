"""Colour of a patch: what remains of an H&E image when all layout is thrown away."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8


def colour_statistics(
  patches: UInt8[np.ndarray, "spot height width 3"],
) -> Float[np.ndarray, "spot 18"]:
  """Mean, sd and the 10th, 50th and 90th percentile of optical density by colour, and mean RGB."""
  pixels = patches.reshape(len(patches), -1, 3).astype(np.float32)
  density = -np.log10((pixels + 1.0) / 256.0)
  percentiles = np.percentile(density, (10, 50, 90), axis=1)
  return np.concatenate(
    [density.mean(1), density.std(1), *percentiles, pixels.mean(1) / 255.0], axis=1
  ).astype(np.float32)
