"""Where on an H&E image there is tissue: coloured, while glass is white and what is cut away black.

A first guess that finds sections on their slide; it knows nothing of folds, pens or blur.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.ndimage import gaussian_filter, map_coordinates

from data_pipelines.problems import BadInputError
from data_pipelines.slide_image import SlideImage

THUMBNAIL_PX = 1500
_SMOOTH_PX = 2.0
_BLACK = 30
_FAINTEST, _FULL = 0.03, 0.12
"""Colour (see `colour`) below the first is glass; above the second, tissue on any slide. Glass of
real slides stays below 0.02; eosin alone reaches 0.15."""
_BINS = 256


def colour(pixels: UInt8[np.ndarray, "height width 3"]) -> Float[np.ndarray, "height width"]:
  """How much more a pixel takes of one colour than of another, in optical density; grey has none.

  Black is 0: density there is noise.
  """
  smooth = np.stack([gaussian_filter(one.astype(float), _SMOOTH_PX) for one in
                     np.moveaxis(pixels, -1, 0)], -1)  # fmt: skip
  density = -np.log10((smooth + 1.0) / 256.0)
  return np.where(smooth.max(-1) < _BLACK, 0.0, density.max(-1) - density.min(-1))


def tissue_mask(
  pixels: UInt8[np.ndarray, "height width 3"],
) -> Bool[np.ndarray, "height width"]:
  """Pixels that are tissue: coloured more than Otsu's threshold, kept within what glass and
  stains allow, so that an image of nothing but tissue is all tissue."""
  values = colour(pixels)
  return values > np.clip(otsu(values), _FAINTEST, _FULL)


def otsu(values: np.ndarray) -> float:
  """The threshold that parts values into two groups of least variance.

  References:
    Otsu 1979, doi:10.1109/TSMC.1979.4310076.
  """
  counts, edges = np.histogram(values, bins=_BINS)
  centres = (edges[:-1] + edges[1:]) / 2
  below = np.cumsum(counts)
  above = below[-1] - below
  total = np.cumsum(counts * centres)
  mean_below = total / np.maximum(below, 1)
  mean_above = (total[-1] - total) / np.maximum(above, 1)
  between = below * above * (mean_below - mean_above) ** 2
  return float(edges[1:][np.argmax(between)])


def share_of_tissue(
  image: SlideImage, positions_px: Float[np.ndarray, "spot 2"], side_px: float
) -> Float[np.ndarray, " spot"]:
  """Share of the square of `side_px` around each position that is tissue.

  Raises:
    BadInputError: there is none on the whole image.
  """
  pixels = image.thumbnail(THUMBNAIL_PX)
  mask = tissue_mask(pixels)
  if not mask.any():
    raise BadInputError(
      image.path, "tissue", "none (no coloured area)", "an H&E image of tissue",
      "give a stained image, or the places to read with --spots",
    )  # fmt: skip
  scale = pixels.shape[1] / image.width_px
  radius = max(side_px * scale / 2, 0.5)
  # Mean over a square: a running sum over each axis.
  padded = np.pad(np.cumsum(np.cumsum(mask, 0, dtype=np.int64), 1), ((1, 0), (1, 0)))

  def corner(dx: int, dy: int) -> np.ndarray:
    x = np.clip(positions_px[:, 0] * scale + dx * radius, 0, mask.shape[1])
    y = np.clip(positions_px[:, 1] * scale + dy * radius, 0, mask.shape[0])
    return map_coordinates(padded.astype(np.float64), [y, x], order=1)

  inside = corner(1, 1) - corner(-1, 1) - corner(1, -1) + corner(-1, -1)
  return inside / (2 * radius) ** 2
