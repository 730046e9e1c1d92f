"""Whatever a file or an array stores as pixels becomes 8-bit RGB here, or is refused.

The one place that judges them, for every command. A brightfield image is bright somewhere: that
tells how many bits of a wider type are in use.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

_FULL_SCALES = tuple(2**bits - 1 for bits in (8, 10, 12, 14, 16))
_OVERSHOOT = 0.1
"""Of the full scale: resampling by a cubic leaves floats a little below 0 and above 1."""
_DARKEST = 32
"""Brightest value of a brightfield image: no light at all comes through no slide."""
_MOST_PAGES = 64
_BLANK = 8
_IN_COLOUR = "8-bit colour, or values of one known range"


class UnusablePixels(ValueError):
  """Pixels that are no picture in brightfield colour; `BadInputError` without a file."""

  def __init__(self, found: str, expected: str, fix: str):
    self.found, self.expected, self.fix = found, expected, fix
    super().__init__(found)


def size_of(shape: tuple[int, ...]) -> tuple[int, int]:
  """(height, width) of an array of this shape.

  Colours may be the last axis or the first, or there may be none; axes of length 1 do not count.

  Raises:
    UnusablePixels: the shape is none of a picture.
  """
  sides = tuple(length for length in shape if length != 1)
  if len(sides) == 3 and sides[-1] in (3, 4):
    sides = sides[:2]
  elif len(sides) == 3 and sides[0] in (3, 4):
    sides = sides[1:]
  if len(sides) != 2 or not all(sides):
    raise UnusablePixels(
      f"an array of shape {tuple(shape)}",
      "height x width x 3, RGB",
      "store the H&E image in colour, or name its file",
    )
  return sides[0], sides[1]


def of_array(values: np.ndarray) -> Image.Image:
  """An array of any type as an image in RGB; transparent pixels become white, grey stays grey.

  Raises:
    UnusablePixels: a shape, type or range that no picture has.
  """
  size_of(values.shape)
  values = np.squeeze(values)
  if values.ndim == 3 and values.shape[-1] not in (3, 4):
    values = np.moveaxis(values, 0, -1)
  image = Image.fromarray(np.ascontiguousarray(eight_bits(values)))
  check_not_hidden(image)
  return of_image(image)


def eight_bits(values: np.ndarray) -> UInt8[np.ndarray, "..."]:
  """Values of any type from 0 to 255: floats up to 1, and integers or floats of 8 to 16 bits.

  Raises:
    UnusablePixels: a type that holds no light, values below 0, or a range that fits no bit depth.
  """
  if values.dtype == np.uint8:
    return values
  if values.dtype.kind not in "uif":
    raise UnusablePixels(f"values of type {values.dtype}", _IN_COLOUR, "store the H&E image itself")
  if missing := int((~np.isfinite(values)).sum()):
    raise UnusablePixels(
      f"{values.dtype} with {missing:,} values that are no numbers",
      _IN_COLOUR,
      "fill them in, or store the image as it was scanned",
    )
  low, high = float(values.min()), float(values.max())
  slack = _OVERSHOOT if values.dtype.kind == "f" else 0.0
  scales = ((1.0,) if values.dtype.kind == "f" else ()) + _FULL_SCALES
  full = next((scale for scale in scales if high <= scale * (1 + slack)), None)
  dark = full == _FULL_SCALES[0] and high < _DARKEST
  if full is None or low < -slack * full or dark:
    raise UnusablePixels(
      f"{values.dtype} from {low:.4g} to {high:.4g}",
      _IN_COLOUR,
      "store 8-bit RGB (0 to 255), or floats from 0 to 1",
    )
  scaled = np.round(values.astype(np.float32) * np.float32(255.0 / full))
  return np.clip(scaled, 0.0, 255.0).astype(np.uint8)


def of_image(image: Image.Image) -> Image.Image:
  """What Pillow has open, in RGB; transparent pixels become white.

  Raises:
    UnusablePixels: as `eight_bits`.
    OSError: damaged data.
  """
  if image.mode in ("I", "F", "1") or image.mode.startswith("I;16"):
    return Image.fromarray(eight_bits(np.asarray(image))).convert("RGB")
  wide = any(";16" in str(part.args) for part in getattr(image, "tile", ()))
  if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
    rgba = image.convert("RGBA")
    background = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(background, rgba).convert("RGB")
  image.load()
  rgb = image if image.mode == "RGB" else image.convert("RGB")
  # Of 16 bits Pillow keeps the upper eight: of a camera's 12 bits that leaves four.
  brightest = max(high for _, high in rgb.getextrema()) if wide else 255
  if brightest < 2 * _DARKEST:
    raise UnusablePixels(
      f"16 bits a colour, values up to about {(brightest + 1) * 256 - 1:,}",
      "8 bits a colour, or all of the 16",
      "convert the image to 8-bit RGB",
    )
  return rgb


def check_not_hidden(image: Image.Image) -> None:
  """Of a whole image; a tile of glass may well be transparent all over.

  Raises:
    UnusablePixels: alpha hides colours, and all of them.
  """
  if image.mode != "RGBA":
    return
  *colours, (_, most_opaque) = image.getextrema()
  if most_opaque <= 1 and any(high > low for low, high in colours):
    raise UnusablePixels(
      f"alpha is {most_opaque} everywhere, of 255, and hides every colour",
      "an image that is opaque where there is tissue",
      "save it as RGB, without alpha: the colours are still in it",
    )


def check_pages(image: Image.Image) -> None:
  """Of the pages of a TIFF the first must be the image, the others smaller copies or labels.

  Raises:
    UnusablePixels: a stack of channels or depths, or a pyramid with its finest level not in front.
  """
  pages = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
  if pages == 1:
    return
  sizes = []
  for page in range(min(pages, _MOST_PAGES)):
    image.seek(page)
    sizes.append(image.size)
  image.seek(0)
  first = sizes[0]
  if alike := sizes[1:].count(first):
    raise UnusablePixels(
      f"{alike + 1} pages of {first[0]} x {first[1]} px: channels or depths, not brightfield",
      "one page in colour",
      "export the H&E image as a TIFF of one RGB page",
    )
  largest = max(sizes, key=lambda size: size[0] * size[1])
  if largest[0] * largest[1] > first[0] * first[1]:
    raise UnusablePixels(
      f"a page of {largest[0]} x {largest[1]} px behind one of {first[0]} x {first[1]} px",
      "the finest page first",
      "save the finest page as a file of its own",
    )


def is_blank(pixels: UInt8[np.ndarray, "height width 3"]) -> bool:
  """Whether there is nothing to be seen."""
  return bool(np.ptp(pixels.reshape(-1, 3), axis=0).max() < _BLANK)


def unlike_he(colours: Float[np.ndarray, "spot 3"]) -> str | None:
  """Why the colours (0 to 255) under spots are not those of haematoxylin and eosin; None if they
  may be.

  Both stains take green most. Haematoxylin also takes red, and eosin almost none: where more is
  taken, more of it is red. So it is on all of 13 sections of four sources.
  """
  density = -np.log10((colours + 1.0) / 256.0)
  red, green, blue = density.mean(axis=0)
  if colours.mean() < 2 * _DARKEST:
    return "the tissue is dark: fluorescence rather than stained tissue in bright light"
  if max(abs(red - green), abs(blue - green)) < 0.01:
    return "the image is grey: no stain can be told from another"
  if green < max(red, blue) - 0.03:
    return "the colours are not those of haematoxylin and eosin"
  if blue > red and _correlation(density.sum(axis=1), density[:, 0] - density[:, 2]) < -0.3:
    return "eosin alone, or the colours are stored as blue, green, red"
  return None


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
  spread = one.std() * other.std()
  return float(((one - one.mean()) * (other - other.mean())).mean() / spread) if spread else 0.0
