"""Nuclei of a patch, counted: the simplest thing that a pathologist would read from H&E."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8
from scipy import ndimage

HAEMATOXYLIN = (0.65, 0.70, 0.29)
EOSIN = (0.07, 0.99, 0.11)
"""Optical density in red, green, blue of one unit of stain (Ruifrok & Johnston 2001)."""

_RADIUS_UM = 3.5
"""Of a small nucleus; the smoothing and the distance between two maxima follow it."""
_MIN_STAIN = 0.25
_MIN_CONTRAST = 0.1
"""Haematoxylin that a nucleus reaches after smoothing, and by how much it stands out of what
surrounds it within a few radii."""


def haematoxylin(
  patches: UInt8[np.ndarray, "spot height width 3"],
) -> Float[np.ndarray, "spot height width"]:
  """Amount of haematoxylin in each pixel, by colour deconvolution; 0 where there is less than none.

  Eosin and whatever neither stain explains are taken out.

  References:
    Ruifrok & Johnston 2001, Anal Quant Cytol Histol 23:291.
  """
  stains = np.array([HAEMATOXYLIN, EOSIN])
  stains /= np.linalg.norm(stains, axis=1, keepdims=True)
  # The pseudo-inverse is the inverse of Ruifrok's matrix with a third stain at right angles.
  density = -np.log10((np.arange(256, dtype=np.float32) + 1) / 256)[patches]
  return np.maximum(density @ np.linalg.pinv(stains)[:, 0].astype(np.float32), 0.0)


def nuclei_count(
  patches: UInt8[np.ndarray, "spot height width 3"], um_per_px: float
) -> Float[np.ndarray, " spot"]:
  """Number of nuclei in each patch: maxima of smoothed haematoxylin that are dark enough.

  Good for comparing patches of one resolution. Nuclei that touch may count as one, and above about
  4 um a pixel a nucleus is a dot.
  """
  sigma = _RADIUS_UM / 2 / um_per_px
  stain = haematoxylin(patches)
  smooth = ndimage.gaussian_filter(stain, (0, sigma, sigma))
  size = 2 * max(1, round(_RADIUS_UM / um_per_px)) + 1
  highest = ndimage.maximum_filter(smooth, (1, size, size))
  surroundings = ndimage.gaussian_filter(stain, (0, 4 * sigma, 4 * sigma))
  nucleus = (smooth == highest) & (smooth > _MIN_STAIN) & (smooth - surroundings > _MIN_CONTRAST)
  return nucleus.sum((1, 2)).astype(np.float32)
