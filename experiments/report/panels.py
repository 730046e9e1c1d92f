"""Maps over tissue, drawn: the H&E once a section, and for each map a layer of discs to lay over it.

Layers are transparent between the discs, so that the page can fade them and show what lies below.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from experiments.report import palettes, pictures
from experiments.report.exhibits import NO_GROUP, GroupMap, Tissue, ValueMap

SIDE_PX = 480
"""Longer side of a panel; it is shown at about half of that."""

MARGIN_SPOTS = 1.5
"""Tissue shown around the outermost spots, in spot diameters."""

_OVERSAMPLED = 3
"""Discs are drawn larger and shrunk: the drawing library does not smooth edges."""

_CLIPPED = (2.0, 98.0)
"""Percentiles between which a value map spreads its colours."""

_FEW = 12
"""Groups that still get a legend."""


@dataclasses.dataclass(frozen=True)
class Frame:
  """The part of a section that its panels show."""

  corner_um: tuple[float, float]
  px_per_um: float
  width_px: int
  height_px: int


@dataclasses.dataclass(frozen=True)
class Legend:
  """What the colours mean: groups with their colours, or the ends of a scale."""

  groups: tuple[tuple[str, str], ...] = ()
  low: str = ""
  high: str = ""


def frame(tissue: Tissue) -> Frame:
  """A rectangle around the spots."""
  margin = MARGIN_SPOTS * tissue.spot_um
  low = tissue.positions_um.min(0) - margin
  size = tissue.positions_um.max(0) + margin - low
  px_per_um = SIDE_PX / float(size.max())
  width, height = (max(int(round(float(side) * px_per_um)), 1) for side in size)
  return Frame((float(low[0]), float(low[1])), px_per_um, width, height)


def tissue_picture(tissue: Tissue, view: Frame) -> str:
  """The H&E within the frame, as a data URI; white where there is no picture."""
  if tissue.pixels is None:
    return pictures.jpeg(np.full((view.height_px, view.width_px, 3), 255, np.uint8))
  scale = 1.0 / (view.px_per_um * tissue.um_per_px)  # picture px a panel px
  x, y = (corner / tissue.um_per_px for corner in view.corner_um)
  cut = Image.fromarray(tissue.pixels).transform(
    (view.width_px, view.height_px),
    Image.Transform.EXTENT,
    (x, y, x + scale * view.width_px, y + scale * view.height_px),
    Image.Resampling.BICUBIC,
    fillcolor=(255, 255, 255),
  )
  return pictures.jpeg(np.asarray(cut))


def group_layer(one: GroupMap, tissue: Tissue, view: Frame) -> tuple[str, Legend]:
  """Discs coloured by group; spots of no group become small grey dots."""
  groups = np.asarray(one.groups[tissue.section_id]).astype(str)
  missing = np.isin(groups, NO_GROUP)
  present = sorted(set(groups[~missing]))
  names = [*one.classes, *(name for name in present if name not in one.classes)]
  colours = palettes.of_groups(len(names))
  if not one.classes:
    # Ids of neighbours are close: a shuffled wheel sets them far apart.
    colours = [colours[i] for i in np.random.default_rng(0).permutation(len(colours))]
  of_name = dict(zip(names, colours, strict=True))
  rgb = np.array([_rgb(of_name.get(name, "#888888")) for name in groups], np.uint8).reshape(-1, 3)
  layer = _discs(tissue, view, rgb, missing)
  shown = [name for name in names if name in present] if one.classes or len(present) <= _FEW else []
  return pictures.overlay(layer), Legend(groups=tuple((name, of_name[name]) for name in shown))


def value_layer(one: ValueMap, tissue: Tissue, view: Frame) -> tuple[str, Legend]:
  """Discs coloured by value, from its 2nd to its 98th percentile in the section."""
  values = np.asarray(one.values[tissue.section_id], float)
  missing = ~np.isfinite(values)
  if missing.all():
    low = high = 0.0
  else:
    low, high = np.percentile(values[~missing], _CLIPPED)
  shares = np.where(missing, 0.0, (values - low) / max(high - low, 1e-12)).clip(0.0, 1.0)
  layer = _discs(tissue, view, palettes.of_values(shares), missing)
  return pictures.overlay(layer), Legend(low=f"{low:.3g}", high=f"{high:.3g} {one.unit}")


def _discs(
  tissue: Tissue, view: Frame, rgb: UInt8[np.ndarray, "spot 3"], missing: np.ndarray
) -> UInt8[np.ndarray, "height width 4"]:
  scale = _OVERSAMPLED * view.px_per_um
  size = (view.width_px * _OVERSAMPLED, view.height_px * _OVERSAMPLED)
  alpha = Image.new("L", size, 0)
  colour = Image.new("RGB", size, (128, 128, 128))
  draw_alpha, draw_colour = ImageDraw.Draw(alpha), ImageDraw.Draw(colour)
  centres = (tissue.positions_um - np.array(view.corner_um)) * scale
  radius = 0.5 * tissue.spot_um * scale
  for centre, fill, none in zip(centres, rgb, missing, strict=True):
    inner = radius * (0.35 if none else 1.0)
    draw_alpha.ellipse(_box(centre, inner), fill=140 if none else 255)
    # The colour reaches beyond the disc, so that its smoothed edge mixes with no other.
    tint = (128, 128, 128) if none else tuple(int(part) for part in fill)
    draw_colour.ellipse(_box(centre, inner + 0.75 * _OVERSAMPLED), fill=tint)
  small = (view.width_px, view.height_px)
  alpha = np.asarray(alpha.resize(small, Image.Resampling.BOX))
  colour = np.asarray(colour.resize(small, Image.Resampling.BOX))
  colour = np.where(alpha[..., None] > 0, colour, 0)
  return np.dstack([colour, alpha])


def _box(centre: Float[np.ndarray, "2"], radius: float) -> tuple[float, float, float, float]:
  x, y = float(centre[0]), float(centre[1])
  return x - radius, y - radius, x + radius, y + radius


def _rgb(colour: str) -> tuple[int, int, int]:
  return tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))
