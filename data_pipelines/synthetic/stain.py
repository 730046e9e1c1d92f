"""From amounts of stain to colours (Beer-Lambert), with what slides suffer on the way."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float, UInt8
from scipy import ndimage

from data_pipelines.synthetic.anatomy import Anatomy
from data_pipelines.synthetic.presets import Preset, stream

# Optical density of haematoxylin and of eosin in red, green and blue: near Ruifrok and Johnston
# 2001, with a pinker eosin.
_VECTORS = np.array([[0.65, 0.70, 0.29], [0.08, 0.88, 0.40]])
_PEN = np.array([0.9, 0.55, 0.08])
_DONOR_SHARE = 0.6
_FOLD_WIDTH_UM = 80.0
_PEN_WIDTH_UM = 130.0


@dataclasses.dataclass(frozen=True)
class Stain:
  """One section's stain: a colour and a strength for haematoxylin and eosin, and the lamp."""

  vectors: Float[np.ndarray, "stain 3"]
  strength: Float[np.ndarray, " stain"]
  white: Float[np.ndarray, " 3"]


def draw_stain(preset: Preset, seed: int, donor: str, section: str) -> Stain:
  """A section's stain; sections of a donor share part of it."""
  draws = np.sqrt(_DONOR_SHARE) * stream(seed, "stain", donor).standard_normal(11)
  draws += np.sqrt(1 - _DONOR_SHARE) * stream(seed, "stain", section).standard_normal(11)
  vectors = np.maximum(_VECTORS + 0.4 * preset.stain_sd * draws[:6].reshape(2, 3), 0.02)
  vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
  return Stain(vectors, np.exp(preset.stain_sd * draws[6:8]), 248.0 + np.clip(2 * draws[8:], -5, 4))


@dataclasses.dataclass(frozen=True)
class Artefacts:
  """A fold and a pen stroke, each a line through a point; None where the section has none."""

  fold: tuple[float, float, float] | None
  pen: tuple[float, float, float] | None

  def in_fold(self, points_um: Float[np.ndarray, "point 2"]) -> np.ndarray:
    """Whether tissue lies double at each point."""
    return _near(self.fold, points_um, _FOLD_WIDTH_UM)

  def in_pen(self, points_um: Float[np.ndarray, "point 2"]) -> np.ndarray:
    """Whether ink covers each point."""
    return _near(self.pen, points_um, _PEN_WIDTH_UM)


def draw_artefacts(preset: Preset, anatomy: Anatomy, rng: np.random.Generator) -> Artefacts:
  """Most sections have a fold, some a pen stroke near an edge."""
  size = np.array(anatomy.size_um)
  middle = size * rng.uniform(0.3, 0.7, 2)
  fold = (float(middle[0]), float(middle[1]), float(rng.uniform(0, np.pi)))
  corner = size * np.where(rng.random(2) < 0.5, 0.18, 0.82)
  across = np.arctan2(*(corner - size / 2)[::-1]) + np.pi / 2 + rng.normal(0, 0.2)
  pen = (float(corner[0]), float(corner[1]), float(across))
  has_fold, has_pen = rng.random(2) < np.array([0.7, 0.4])
  return Artefacts(
    fold if preset.artefacts and has_fold else None, pen if preset.artefacts and has_pen else None
  )


def colour(
  haematoxylin: Float[np.ndarray, "height width"],
  eosin: Float[np.ndarray, "height width"],
  stain: Stain,
  artefacts: Artefacts,
  um_per_px: float,
  rng: np.random.Generator,
) -> UInt8[np.ndarray, "height width 3"]:
  """The image: light falls off exponentially with the amount of each stain."""
  shape = haematoxylin.shape
  row, column = np.indices(shape)
  points = (np.stack([column.ravel(), row.ravel()], 1) + 0.5) * um_per_px
  soft = 6.0 / um_per_px
  fold = ndimage.gaussian_filter(artefacts.in_fold(points).reshape(shape) * 1.0, soft)
  ink = ndimage.gaussian_filter(artefacts.in_pen(points).reshape(shape) * 1.0, soft)
  amounts = np.stack([haematoxylin, eosin], -1) * stain.strength * (1 + 0.8 * fold[..., None])
  density = amounts @ stain.vectors + 0.8 * ink[..., None] * _PEN
  light = stain.white * 10.0**-density + rng.normal(0, 1.5, (*shape, 3))
  return np.clip(np.rint(light), 0, 255).astype(np.uint8)


def _near(line: tuple[float, float, float] | None, points_um: np.ndarray, width: float):
  if line is None:
    return np.zeros(len(points_um), bool)
  x, y, angle = line
  along = (points_um[:, 0] - x) * np.cos(angle) + (points_um[:, 1] - y) * np.sin(angle)
  off = (points_um[:, 1] - y) * np.cos(angle) - (points_um[:, 0] - x) * np.sin(angle)
  bend = 40.0 * np.sin(along / 500.0)
  return (np.abs(off - bend) < width / 2) & (np.abs(along) < 900.0)
