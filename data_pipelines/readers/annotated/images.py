"""The H&E image of a section of an AnnData: the one beside it, or the largest one inside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float

from data_pipelines.problems import BadInputError
from data_pipelines.readers.annotated.contents import Library
from data_pipelines.slide_image import ArrayImage, SlideImage

_MIN_SHARE_INSIDE = 0.5


def stored_image(library: Library | None, path: Path) -> tuple[SlideImage | None, float]:
  """The largest image of `uns["spatial"]` whose scale is known, and its pixels per full-size pixel.

  Space Ranger's are "hires" and "lowres"; other sources use names of their own, with a scale factor
  `tissue_<name>_scalef` each.
  """
  best, scale = None, 0.0
  for name, image in library.images.items() if library else ():
    factor = library.scalefactors.get(f"tissue_{name}_scalef", 0.0)
    if factor > scale:
      best, scale = ArrayImage.of(path, image.shape, name, image.load), factor
  return best, scale or 1.0


def check_inside(positions_px: Float[np.ndarray, "spot 2"], image: SlideImage, path: Path) -> None:
  """Refuses an image that most spots lie beside: it, or its scale, is another one's.

  Raises:
    BadInputError: with a hint where x and y seem swapped.
  """
  x, y = positions_px.T
  width, height = image.width_px, image.height_px

  def share_inside(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.mean((x >= 0) & (x < width) & (y >= 0) & (y < height)))

  if share_inside(x, y) >= _MIN_SHARE_INSIDE:
    return
  scale = min(width / max(x.max(), 1.0), height / max(y.max(), 1.0))
  swapped = share_inside(y, x) >= _MIN_SHARE_INSIDE
  raise BadInputError(
    path,
    "positions",
    f"{1 - share_inside(x, y):.0%} of {len(x)} spots outside the {image.kind} image, {width} x "
    f"{height} px (x {x.min():.0f} to {x.max():.0f}, y {y.min():.0f} to {y.max():.0f})",
    "spots on the image",
    "x and y seem swapped: exchange the two columns"
    if swapped
    else f"correct the scale factor or --image_scale (to fit, at most {scale:.3g} times as large)",
  )
