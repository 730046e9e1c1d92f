"""Maps over tissue, drawn: the H&E once a section, and a layer of discs for each map over it.

Layers are transparent between the discs, so that the page can fade them and show what lies below.
"""

from __future__ import annotations

import base64
import dataclasses
import io
from collections.abc import Sequence

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Bool, Float, UInt8
from matplotlib.figure import Figure
from PIL import Image
from scipy.spatial import cKDTree

from hibio.report.exhibits import NO_GROUP, GroupMap, Tissue, ValueMap

SIDE_PX = 440
"""Longer side of a panel; it is shown at about half of that."""

_MARGIN_SPOTS = 1.5
"""Tissue shown around the outermost spots, in spot diameters."""

_NO_VALUE_SIZE = 0.35
"""Size of a spot without a value, over that of one with."""

_NO_IMAGE = 222
"""Grey of the spots of a section without an image."""

_EDGE_STEPS, _COLOUR_STEPS = 2, 20
"""Few grades of edge and of colour: a layer of few tones is a small file."""

CLIPPED = (2.0, 98.0)
"""Percentiles between which a value map spreads its colours."""


@dataclasses.dataclass(frozen=True)
class Legend:
  """What the colours mean: groups with their colours, or the ends of a scale."""

  groups: tuple[tuple[str, str], ...] = ()
  low: str = ""
  high: str = ""


class Canvas:
  """A section's frame, in which each pixel knows its nearest spot.

  Attributes:
    tissue: the section.
    width_px, height_px: of every picture of it.
    px_per_um: their scale.
  """

  def __init__(self, tissue: Tissue):
    self.tissue = tissue
    margin = _MARGIN_SPOTS * tissue.spot_um
    self._corner_um = tissue.positions_um.min(0) - margin
    size_um = tissue.positions_um.max(0) + margin - self._corner_um
    self.px_per_um = SIDE_PX / float(size_um.max())
    self.width_px, self.height_px = (max(round(float(s) * self.px_per_um), 1) for s in size_um)
    rows, columns = np.mgrid[: self.height_px, : self.width_px]
    points_um = (np.stack([columns, rows], -1) + 0.5) / self.px_per_um + self._corner_um
    self._distance_um, self._nearest = cKDTree(tissue.positions_um).query(points_um)

  def picture(self) -> str:
    """The H&E within the frame, as a data URI; grey spots on white where there is none."""
    tissue, size = self.tissue, (self.width_px, self.height_px)
    if tissue.pixels is None:
      in_spot = self._distance_um < 0.5 * tissue.spot_um
      return jpeg(np.where(in_spot[..., None], _NO_IMAGE, 255).astype(np.uint8).repeat(3, axis=-1))
    step = 1.0 / (self.px_per_um * tissue.um_per_px)  # px of the tissue's picture a px of ours
    x, y = (float(corner) / tissue.um_per_px for corner in self._corner_um)
    box = (x, y, x + step * self.width_px, y + step * self.height_px)
    # Averages over a step first: picking single pixels would turn nuclei into noise.
    image = Image.fromarray(tissue.pixels)
    shrink = max(int(step), 1)
    image, box = image.reduce(shrink), tuple(side / shrink for side in box)
    cut = image.transform(
      size, Image.Transform.EXTENT, box, Image.Resampling.BICUBIC, fillcolor=(255, 255, 255)
    )
    return jpeg(np.asarray(cut))

  def groups(self, one: GroupMap) -> tuple[str, Legend]:
    """A layer of discs coloured by group; spots of no group become small grey dots."""
    groups = np.asarray(one.groups[self.tissue.section_id]).astype(str)
    missing = np.isin(groups, NO_GROUP)
    present = sorted(set(groups[~missing]))
    names = [*one.classes, *(name for name in present if name not in one.classes)]
    of_name = colours_of(names, shuffled=not one.classes)
    rgb = np.array([rgb_of(of_name.get(name, "#808080")) for name in groups], np.uint8)
    told = tuple((name, of_name[name]) for name in one.classes if name in present)
    return self._discs(rgb, missing), Legend(groups=told)

  def values(self, one: ValueMap) -> tuple[str, Legend]:
    """A layer of discs coloured by value, between two percentiles of the section."""
    values = np.asarray(one.values[self.tissue.section_id], float)
    missing = ~np.isfinite(values)
    low, high = np.percentile(values[~missing], CLIPPED) if not missing.all() else (0.0, 0.0)
    shares = np.where(missing, 0.0, (values - low) / max(high - low, 1e-12)).clip(0.0, 1.0)
    rgb = of_values(np.round(shares * _COLOUR_STEPS) / _COLOUR_STEPS)
    return self._discs(rgb, missing), Legend(
      low=f"{low:.2g}", high=f"{high:.2g} {one.unit}".strip()
    )

  def _discs(self, rgb: UInt8[np.ndarray, "spot 3"], missing: Bool[np.ndarray, " spot"]) -> str:
    """Each pixel takes the colour of its nearest spot, and is opaque within that spot's disc."""
    radius_um = 0.5 * self.tissue.spot_um * np.where(missing, _NO_VALUE_SIZE, 1.0)[self._nearest]
    edge = ((radius_um - self._distance_um) * self.px_per_um + 0.5).clip(0.0, 1.0)
    edge = np.round(edge * _EDGE_STEPS) / _EDGE_STEPS
    opacity = edge * np.where(missing, 0.55, 1.0)[self._nearest]
    colour = np.where(missing[:, None], 128, rgb)[self._nearest] * (opacity > 0)[..., None]
    layer = np.concatenate([colour, np.round(255 * opacity)[..., None]], axis=-1)
    return overlay(layer.astype(np.uint8))


OKABE_ITO = (
  "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#7F7F7F",
)  # fmt: skip
"""Eight colours told apart by all (Okabe & Ito 2008, jfly.uni-koeln.de/color); grey for black,
which dark tissue would hide."""

VALUES = "viridis"
"""For values: even in lightness from dark to bright."""


def of_groups(count: int) -> list[str]:
  """A colour a group: Okabe-Ito up to eight groups, then the same light and dark, over and over.

  Lightness is what every eye tells apart.
  """
  wheel = [*OKABE_ITO, *(_mixed(c, 255, 0.55) for c in OKABE_ITO),
           *(_mixed(c, 0, 0.45) for c in OKABE_ITO)]  # fmt: skip
  return [wheel[number % len(wheel)] for number in range(count)]


def colours_of(names: Sequence[str], shuffled: bool = False) -> dict[str, str]:
  """Group -> colour.

  Args:
    shuffled: for ids, where neighbours have close numbers: sets their colours far apart.
  """
  colours = of_groups(len(names))
  if shuffled:
    colours = [colours[place] for place in np.random.default_rng(0).permutation(len(colours))]
  return dict(zip(names, colours, strict=True))


def _mixed(colour: str, grey: int, share: float) -> str:
  """A colour of which `share` is grey: 0 black, 255 white."""
  return matplotlib.colors.to_hex([
    ((1 - share) * one + share * grey) / 255 for one in rgb_of(colour)
  ])  # fmt: skip


def round_length(um: float) -> int:
  """The largest of 1, 2, 5 times a power of ten that is not longer; at least 1 um."""
  um = max(um, 1.0)
  power = 10 ** int(np.floor(np.log10(um)))
  return max(step * power for step in (1, 2, 5) if step * power <= um)


def length_in_words(um: int) -> str:
  """A length as a scale bar tells it: "200 µm", "1 mm"."""
  return f"{um:g} µm" if um < 1000 else f"{um / 1000:g} mm"


def of_values(shares: Float[np.ndarray, " spot"]) -> UInt8[np.ndarray, "spot 3"]:
  """Colours of values between 0 and 1."""
  return (255 * matplotlib.colormaps[VALUES](shares)[:, :3]).round().astype(np.uint8)


def gradient(stops: int = 9) -> str:
  """The colours of values as a CSS gradient, low to high."""
  colours = matplotlib.colormaps[VALUES](np.linspace(0, 1, stops))
  return f"linear-gradient(to right, {', '.join(map(matplotlib.colors.to_hex, colours))})"


def rgb_of(colour: str) -> tuple[int, int, int]:
  """#rrggbb as three numbers."""
  return tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))


def jpeg(pixels: UInt8[np.ndarray, "height width 3"], quality: int = 82) -> str:
  """A photograph as a data URI."""
  return _uri(Image.fromarray(pixels), "jpeg", quality=quality)


def overlay(pixels: UInt8[np.ndarray, "height width 4"]) -> str:
  """A drawing with transparency as a data URI, without loss."""
  return _uri(Image.fromarray(pixels, "RGBA"), "webp", lossless=True, method=4)


def drawn(figure: Figure) -> bytes:
  """A figure as PNG; closes it."""
  buffer = io.BytesIO()
  figure.savefig(buffer, format="png", dpi=130, bbox_inches="tight")
  plt.close(figure)
  return buffer.getvalue()


def png(picture: bytes) -> str:
  """A PNG as a data URI."""
  return "data:image/png;base64," + base64.b64encode(picture).decode()


def svg(text: str) -> str:
  """A vector drawing as a data URI."""
  return "data:image/svg+xml;base64," + base64.b64encode(text.encode()).decode()


def _uri(image: Image.Image, kind: str, **options) -> str:
  buffer = io.BytesIO()
  image.save(buffer, kind, **options)
  return f"data:image/{kind};base64," + base64.b64encode(buffer.getvalue()).decode()
