"""What a section looks like: nuclei and eosin of every leaf region, drawn as one picture.

Leaf regions differ in how nuclei are shaped and arranged and in the grain of the eosin, while the
covered area and the spread of tones stay alike: colour statistics say little, texture says much.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy import ndimage
from scipy.spatial import cKDTree

from data_pipelines.synthetic.anatomy import LEAVES, Anatomy
from data_pipelines.synthetic.presets import Preset

_COVERAGE = 0.2
"""Share of the tissue that nuclei cover where the density field is 0."""
_NOISE_UM = 3.0
_EOSIN = 0.22
_HAEMATOXYLIN = 0.5
_GRAIN_SD = 0.22
_VACUOLES_PER_MM2 = 200.0


@dataclasses.dataclass(frozen=True)
class Nuclei:
  """Ellipses: centres, full axes (long, short) in micrometres, and the long axis' angle."""

  centres_um: Float[np.ndarray, "nucleus 2"]
  axes_um: Float[np.ndarray, "nucleus 2"]
  angle: Float[np.ndarray, " nucleus"]


@dataclasses.dataclass(frozen=True)
class Region:
  """The part of a section that one leaf covers, and how dense its nuclei are."""

  anatomy: Anatomy
  leaf: int
  density_per_um2: float
  density_sd: float
  rng: np.random.Generator

  def density(self, points_um: Float[np.ndarray, "point 2"]) -> Float[np.ndarray, " point"]:
    """Nuclei a square micrometre: smooth variation inside the region."""
    field = np.clip(self.anatomy.field("density", points_um), -2.5, 2.5)
    return self.density_per_um2 * np.exp(self.density_sd * field)

  def points(self, relative: float) -> Float[np.ndarray, "point 2"]:
    """Random points of the region, `relative` times as dense as its nuclei."""
    width, height = self.anatomy.size_um
    highest = self.density_per_um2 * np.exp(2.5 * self.density_sd) * relative
    count = self.rng.poisson(width * height * highest)
    points = self.rng.random((count, 2)) * np.array([[width, height]])
    keep = self.rng.random(count) * highest < self.density(points) * relative
    points = points[keep]
    points = points[self.anatomy.in_tissue(points)]
    return points[self.anatomy.leaf(points) == self.leaf]


def _random(region: Region) -> tuple[np.ndarray, np.ndarray]:
  points = region.points(1.0)
  return points, region.rng.uniform(0, np.pi, len(points))


def _regular(region: Region) -> tuple[np.ndarray, np.ndarray]:
  """Nuclei that keep their distance, as in a sheet of cells."""
  points = region.points(4.0)
  # Random sequential packing of discs of diameter d ends at 0.696 / d^2 discs an area.
  points = points[_spaced(points, np.sqrt(0.66 / region.density(points)), region.rng)]
  return points, region.rng.uniform(0, np.pi, len(points))


def _clustered(region: Region) -> tuple[np.ndarray, np.ndarray]:
  """Clumps of about ten."""
  parents = region.points(1 / 10)
  children = np.repeat(parents, region.rng.poisson(10, len(parents)), axis=0)
  children = children + region.rng.normal(0, 9.0, children.shape)
  return children, region.rng.uniform(0, np.pi, len(children))


def _rings(region: Region) -> tuple[np.ndarray, np.ndarray]:
  """Glands: rings of nuclei, each lying across the radius."""
  candidates = region.points(0.5)
  spacing = 58.0
  parents = candidates[_spaced(candidates, np.full(len(candidates), spacing), region.rng)]
  count = np.maximum(np.rint(region.density(parents) * spacing**2 / 0.66), 3).astype(int)
  parent = np.repeat(np.arange(len(parents)), count)
  place = np.arange(len(parent)) - np.repeat(np.cumsum(count) - count, count)
  angle = 2 * np.pi * (place / count[parent] + region.rng.random(len(parents))[parent])
  radius = region.rng.normal(19.0, 1.2, len(parents))[parent]
  radius = radius + region.rng.normal(0, 1.2, len(parent))
  towards = np.stack([np.cos(angle), np.sin(angle)], 1)
  return parents[parent] + radius[:, None] * towards, angle


def _aligned(region: Region) -> tuple[np.ndarray, np.ndarray]:
  """Nuclei that lie along the fibres."""
  points = region.points(1.0)
  return points, fibre_angle(region.anatomy, points) + region.rng.normal(0, 0.15, len(points))


@dataclasses.dataclass(frozen=True)
class Look:
  """How a leaf region looks.

  Attributes:
    arrange: places nuclei and turns them.
    diameter_um: of a disc as large as a nucleus.
    elongation: long over short axis.
    grain: name of the eosin's texture.
    tint: eosin tone in units of the preset's `tint_sd`.
  """

  arrange: Callable[[Region], tuple[np.ndarray, np.ndarray]]
  diameter_um: float
  elongation: float
  grain: str
  tint: float


LOOKS = {
  "epithelium_glandular": Look(_rings, 11.5, 1.3, "fine", 0.5),
  "epithelium_solid": Look(_regular, 12.5, 1.1, "fine", -0.5),
  "stroma_fibrous": Look(_aligned, 11.0, 2.6, "fibres", 1.0),
  "stroma_loose": Look(_random, 11.0, 2.2, "coarse", -1.0),
  "lymphoid_follicle": Look(_clustered, 9.5, 1.1, "fine", -0.5),
  "lymphoid_diffuse": Look(_random, 9.5, 1.1, "coarse", 0.5),
}


def fibre_angle(
  anatomy: Anatomy, points_um: Float[np.ndarray, "point 2"]
) -> Float[np.ndarray, " point"]:
  """Direction of the fibres at each point."""
  return 1.5 * anatomy.field("fibre", points_um)


def draw_nuclei(preset: Preset, anatomy: Anatomy, rng: np.random.Generator) -> Nuclei:
  """The nuclei of a section, leaf after leaf."""
  parts = []
  for index, name in enumerate(LEAVES):
    look = LOOKS[name]
    density = _COVERAGE / (np.pi / 4 * look.diameter_um**2)
    centres, angle = look.arrange(Region(anatomy, index, density, preset.density_sd, rng))
    size = look.diameter_um * rng.lognormal(0, 0.1, len(centres))
    stretch = np.sqrt(look.elongation * rng.lognormal(0, 0.08, len(centres)))
    parts.append((centres, np.stack([size * stretch, size / stretch], 1), angle))
  centres, axes, angle = (np.concatenate(part) for part in zip(*parts, strict=True))
  inside = anatomy.in_tissue(centres)
  return Nuclei(centres[inside], axes[inside], angle[inside])


def draw_stains(
  preset: Preset, anatomy: Anatomy, nuclei: Nuclei, um_per_px: float, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "height width"], Float[np.ndarray, "height width"]]:
  """Amounts of haematoxylin and of eosin in each pixel, before any stain variation."""
  shape = tuple(int(np.ceil(size / um_per_px)) for size in anatomy.size_um[::-1])
  row, column = np.indices(shape)
  points = (np.stack([column.ravel(), row.ravel()], 1) + 0.5) * um_per_px
  tissue = anatomy.in_tissue(points)
  points = points[tissue]

  strength = rng.lognormal(0, 0.12, len(nuclei.angle))
  haematoxylin = _stamp(nuclei, strength, shape, um_per_px)
  haematoxylin = _HAEMATOXYLIN * (1 - np.exp(-1.6 * haematoxylin)) / (1 - np.exp(-1.6))

  leaf = anatomy.leaf(points)
  tint = np.array([LOOKS[name].tint for name in LEAVES]) * preset.tint_sd
  tone = preset.tone_sd * np.clip(anatomy.field("tone", points), -2.5, 2.5) + tint[leaf]
  grain = _grain(anatomy, points, leaf, rng)
  amount = np.zeros(shape)
  amount[tissue.reshape(shape)] = _EOSIN * np.exp(tone) * np.maximum(1 + _GRAIN_SD * grain, 0.05)
  vacuoles = _stamp(_vacuoles(anatomy, rng), None, shape, um_per_px)
  eosin = amount * (1 - 0.75 * np.minimum(vacuoles, 1))

  # The microscope: a point spread of 1.5 um.
  blur = 1.5 / um_per_px
  weak = np.where(tissue.reshape(shape), 0.04, 0.0)
  return (
    ndimage.gaussian_filter((haematoxylin + weak) * tissue.reshape(shape), blur),
    ndimage.gaussian_filter(eosin, blur),
  )


def _vacuoles(anatomy: Anatomy, rng: np.random.Generator) -> Nuclei:
  """Pale holes whose number follows the texture field and nothing that is expressed."""
  width, height = anatomy.size_um
  count = rng.poisson(width * height * _VACUOLES_PER_MM2 * 1e-6 * np.exp(2.0))
  points = rng.random((count, 2)) * np.array([[width, height]])
  field = np.clip(anatomy.field("texture", points), -2.5, 2.5)
  points = points[rng.random(count) * np.exp(2.0) < np.exp(0.8 * field)]
  axes = np.repeat(12.0 * rng.lognormal(0, 0.2, (len(points), 1)), 2, axis=1)
  return Nuclei(points, axes, np.zeros(len(points)))


def _grain(
  anatomy: Anatomy, points_um: np.ndarray, leaf: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
  """Texture of the eosin at each point, of mean 0 and sd 1 in every leaf region."""
  shape = tuple(int(np.ceil(size / _NOISE_UM)) + 2 for size in anatomy.size_um[::-1])
  white = rng.standard_normal(shape)
  grids = {
    "fine": ndimage.gaussian_filter(white, 0.7, mode="wrap"),
    "coarse": ndimage.gaussian_filter(white, 2.4, mode="wrap"),
  }
  values = np.empty(len(points_um))
  for index, name in enumerate(LEAVES):
    here = np.flatnonzero(leaf == index)
    if not len(here):
      continue
    points = points_um[here]
    if LOOKS[name].grain == "fibres":
      drawn = _along_fibres(anatomy, white, points)
    else:
      drawn = _at(grids[LOOKS[name].grain], points)
    values[here] = (drawn - drawn.mean()) / drawn.std()
  return values


def _along_fibres(anatomy: Anatomy, white: np.ndarray, points_um: np.ndarray) -> np.ndarray:
  """Line integral convolution: noise averaged along the fibres (Cabral and Leedom 1993)."""
  angle = fibre_angle(anatomy, points_um)
  direction = np.stack([np.cos(angle), np.sin(angle)], 1)
  soft = ndimage.gaussian_filter(white, 1.0, mode="wrap")
  return sum(_at(soft, points_um + step * direction) for step in np.arange(-21.0, 22.0, 3.0))


def _at(grid: np.ndarray, points_um: np.ndarray) -> np.ndarray:
  return ndimage.map_coordinates(grid, points_um.T[::-1] / _NOISE_UM, order=1, mode="wrap")


def _stamp(
  ellipses: Nuclei, strength: np.ndarray | None, shape: tuple[int, int], um_per_px: float
) -> np.ndarray:
  """Sum of soft-edged ellipses over the pixels."""
  if not len(ellipses.angle):
    return np.zeros(shape)
  reach = int(np.ceil(ellipses.axes_um.max() / 2 / um_per_px)) + 1
  centre_px = ellipses.centres_um / um_per_px - 0.5
  corner = np.rint(centre_px).astype(int)
  step = np.arange(-reach, reach + 1)
  dx, dy = (grid.ravel()[None] for grid in np.meshgrid(step, step))
  x = (dx + (corner[:, 0] - centre_px[:, 0])[:, None]) * um_per_px
  y = (dy + (corner[:, 1] - centre_px[:, 1])[:, None]) * um_per_px
  cos, sin = np.cos(ellipses.angle)[:, None], np.sin(ellipses.angle)[:, None]
  half = ellipses.axes_um / 2
  radius = np.hypot((cos * x + sin * y) / half[:, :1], (cos * y - sin * x) / half[:, 1:])
  # Edges fade over about a pixel, whatever the pixel's size.
  fade = um_per_px / half.mean(1, keepdims=True)
  value = np.clip((1 - radius) / fade + 0.5, 0, 1)
  if strength is not None:
    value = value * strength[:, None]
  row, column = corner[:, 1:] + dy, corner[:, :1] + dx
  inside = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1]) & (value > 0)
  flat = row[inside] * shape[1] + column[inside]
  return np.bincount(flat, value[inside], minlength=shape[0] * shape[1]).reshape(shape)


def _spaced(points: np.ndarray, distance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
  """A maximal set of points of which no two lie closer than their distance (Luby 1986)."""
  if not len(points):
    return np.zeros(0, int)
  pairs = cKDTree(points).query_pairs(float(distance.max()), output_type="ndarray")
  apart = np.hypot(*(points[pairs[:, 0]] - points[pairs[:, 1]]).T)
  pairs = pairs[apart < np.minimum(distance[pairs[:, 0]], distance[pairs[:, 1]])]
  priority = rng.permutation(len(points))
  kept, open_ = np.zeros(len(points), bool), np.ones(len(points), bool)
  while open_.any():
    best = open_.copy()
    first = priority[pairs[:, 0]] < priority[pairs[:, 1]]
    best[np.where(first, pairs[:, 0], pairs[:, 1])] = False
    kept |= best
    open_ &= ~best
    neighbour = np.concatenate([pairs[best[pairs[:, 0]], 1], pairs[best[pairs[:, 1]], 0]])
    open_[neighbour] = False
    pairs = pairs[open_[pairs[:, 0]] & open_[pairs[:, 1]]]
  return np.flatnonzero(kept)
