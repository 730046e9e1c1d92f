"""Image patches of spots as JPEG bytes, and a small picture of the whole section."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import simplejpeg
from jaxtyping import Float

from data_pipelines.section import Section
from data_pipelines.slide_image import SlideImage

JPEG_QUALITY = 95
THUMBNAIL_PX = 1000


@dataclasses.dataclass(frozen=True)
class Thumbnail:
  """A downscaled section image.

  Attributes:
    jpeg: JPEG bytes.
    um_per_px: micrometres a pixel of it.
  """

  jpeg: bytes
  um_per_px: float


def encoded_patches(section: Section, patch_um: float, patch_px: int) -> list[bytes]:
  """One JPEG a spot: the square of `patch_um` around its centre, at `patch_px` a side.

  The section's image is decoded once and released. Outside the image is white.
  """
  if section.image is None:
    return []
  return list(jpegs(section.image, section.positions_px, section.um_per_px, patch_um, patch_px))


def jpegs(
  image: SlideImage,
  positions_px: Float[np.ndarray, "spot 2"],
  um_per_px: float,
  patch_um: float,
  patch_px: int,
) -> Iterator[bytes]:
  """The same patches one after the other, for images with more spots than fit in memory."""
  for patch in image.crops(positions_px, patch_um / um_per_px, patch_px):
    yield _jpeg(patch)


def thumbnail(section: Section) -> Thumbnail | None:
  """The whole image, its longest side at most `THUMBNAIL_PX`."""
  if section.image is None:
    return None
  pixels = section.image.thumbnail(THUMBNAIL_PX)
  scale = section.image.width_px / pixels.shape[1]
  return Thumbnail(_jpeg(pixels), section.um_per_px * scale)


def _jpeg(pixels: np.ndarray) -> bytes:
  # Baseline 4:2:0: decodes 1.4 to 2.3 times as fast as 4:4:4 or progressive at this quality.
  return simplejpeg.encode_jpeg(
    np.ascontiguousarray(pixels), quality=JPEG_QUALITY, colorspace="RGB", colorsubsampling="420"
  )
