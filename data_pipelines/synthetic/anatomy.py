"""Where things lie in a synthetic section: its outline, nested regions and smooth fields.

All are functions of a point in micrometres, so that spots, nuclei and pixels see the same tissue.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage

from data_pipelines.synthetic.presets import Preset, stream

COMPARTMENTS = ("epithelium", "stroma", "lymphoid")
LEAVES = (
  "epithelium_glandular",
  "epithelium_solid",
  "stroma_fibrous",
  "stroma_loose",
  "lymphoid_follicle",
  "lymphoid_diffuse",
)
COMPARTMENT_OF_LEAF = np.array([0, 0, 1, 1, 2, 2])

PITCH_UM = 100.0
SPOT_DIAMETER_UM = 55.0
MARGIN_UM = 160.0
GRID_UM = 20.0

# Name -> correlation length (Gaussian sigma, um) and the share that sections of a donor share.
_FIELDS = {
  **{f"compartment/{name}": (330.0, 0.6) for name in COMPARTMENTS},
  **{f"leaf/{name}": (200.0, 0.6) for name in COMPARTMENTS},
  "outline": (220.0, 0.5),
  "density": (150.0, 0.0),
  "tone": (150.0, 0.0),
  "silent": (150.0, 0.0),
  "texture": (150.0, 0.0),
  "fibre": (350.0, 0.0),
}


@dataclasses.dataclass(frozen=True)
class Anatomy:
  """The tissue of one section; every method takes points in micrometres, (x, y), y down.

  Attributes:
    size_um: width and height of the image.
    fields: name -> values on a grid of `GRID_UM`, standardised.
    outline_threshold: tissue is where the outline field exceeds it.
    compartment_offsets: added to the compartment fields before the largest wins.
    leaf_thresholds: a compartment's second leaf is where its leaf field exceeds this.
  """

  size_um: tuple[float, float]
  fields: Mapping[str, Float[np.ndarray, "row column"]]
  outline_threshold: float
  compartment_offsets: Float[np.ndarray, " compartment"]
  leaf_thresholds: Float[np.ndarray, " compartment"]

  def field(self, name: str, points_um: Float[np.ndarray, "point 2"]) -> Float[np.ndarray, "point"]:
    """Value of a smooth field, standard normal over the section."""
    return _sample(self.fields[name], points_um)

  def in_tissue(self, points_um: Float[np.ndarray, "point 2"]) -> Bool[np.ndarray, " point"]:
    """Whether there is tissue at each point."""
    return self.field("outline", points_um) > self.outline_threshold

  def compartment(self, points_um: Float[np.ndarray, "point 2"]) -> Int[np.ndarray, " point"]:
    """Compartment at each point, also outside the outline."""
    values = [self.field(f"compartment/{name}", points_um) for name in COMPARTMENTS]
    return np.argmax(np.stack(values, 1) + self.compartment_offsets[None], axis=1)

  def leaf(self, points_um: Float[np.ndarray, "point 2"]) -> Int[np.ndarray, " point"]:
    """Leaf region at each point; every leaf lies inside one compartment."""
    compartment = self.compartment(points_um)
    second = np.zeros(len(points_um), bool)
    for index, name in enumerate(COMPARTMENTS):
      here = compartment == index
      second[here] = self.field(f"leaf/{name}", points_um[here]) > self.leaf_thresholds[index]
    return 2 * compartment + second

  def leaf_shares(self, centres_um: Float[np.ndarray, "spot 2"]) -> Float[np.ndarray, "spot leaf"]:
    """Share of each leaf in the area of a spot."""
    step = SPOT_DIAMETER_UM / 5
    axis = np.arange(-2, 3) * step
    offsets = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    offsets = offsets[np.hypot(*offsets.T) <= SPOT_DIAMETER_UM / 2]
    points = (centres_um[:, None] + offsets[None]).reshape(-1, 2)
    leaf = self.leaf(points).reshape(len(centres_um), -1)
    return np.stack([(leaf == index).mean(1) for index in range(len(LEAVES))], 1)


@dataclasses.dataclass(frozen=True)
class Lattice:
  """Spots of an array: row, column and centre of each; rows lie 86.6 um apart."""

  row: Int[np.ndarray, " spot"]
  column: Int[np.ndarray, " spot"]
  centres_um: Float[np.ndarray, "spot 2"]

  @classmethod
  def of(cls, rows: int, columns: int) -> Lattice:
    """The part of a hexagonal array with that many rows and columns ("orange crate" parity)."""
    row, column = np.divmod(np.arange(rows * columns), columns)
    keep = row % 2 == column % 2
    row, column = row[keep], column[keep]
    centres = np.stack([column * PITCH_UM / 2, row * PITCH_UM * np.sqrt(0.75)], 1) + MARGIN_UM
    return cls(row, column, centres)

  @property
  def size_um(self) -> tuple[float, float]:
    """Width and height of an image that holds all spots and a margin."""
    width, height = self.centres_um.max(0) + MARGIN_UM
    return float(width), float(height)


def anatomy(preset: Preset, lattice: Lattice, seed: int, donor: str, section: str) -> Anatomy:
  """The tissue of a section: drawn for its donor first, then varied."""
  width, height = lattice.size_um
  shape = (int(np.ceil(height / GRID_UM)) + 1, int(np.ceil(width / GRID_UM)) + 1)
  fields = {}
  for name, (length_um, shared) in _FIELDS.items():
    of_donor = _smooth_noise(stream(seed, "field", name, donor), shape, length_um)
    of_section = _smooth_noise(stream(seed, "field", name, section), shape, length_um)
    fields[name] = np.sqrt(shared) * of_donor + np.sqrt(1 - shared) * of_section
  fields["outline"] = 0.06 * fields["outline"] - _distance_from_centre(shape)

  rng = stream(seed, "regions", section)
  outline = _sample(fields["outline"], lattice.centres_um)
  threshold = np.quantile(outline, 1 - preset.tissue_share * rng.uniform(0.96, 1.04))
  tissue = lattice.centres_um[outline > threshold]
  for name in _FIELDS:
    if name != "outline":
      values = _sample(fields[name], tissue)
      fields[name] = (fields[name] - values.mean()) / values.std()

  found = Anatomy(
    (width, height), fields, threshold, np.zeros(len(COMPARTMENTS)), np.zeros(len(COMPARTMENTS))
  )
  found = dataclasses.replace(found, compartment_offsets=_offsets(found, tissue, rng))
  compartment = found.compartment(tissue)
  thresholds = [
    np.quantile(found.field(f"leaf/{name}", tissue[compartment == index]), rng.uniform(0.4, 0.6))
    for index, name in enumerate(COMPARTMENTS)
  ]
  return dataclasses.replace(found, leaf_thresholds=np.array(thresholds))


def _offsets(
  found: Anatomy, tissue: np.ndarray, rng: np.random.Generator
) -> Float[np.ndarray, " compartment"]:
  """Offsets that give each compartment about the share drawn for it."""
  target = rng.dirichlet(np.full(len(COMPARTMENTS), 30.0))
  offsets = np.zeros(len(COMPARTMENTS))
  for _ in range(40):
    compartment = dataclasses.replace(found, compartment_offsets=offsets).compartment(tissue)
    share = np.bincount(compartment, minlength=len(COMPARTMENTS)) / len(tissue)
    offsets = offsets + 0.5 * (target - share)
  return offsets


def _smooth_noise(rng: np.random.Generator, shape: tuple[int, int], length_um: float) -> np.ndarray:
  noise = ndimage.gaussian_filter(rng.standard_normal(shape), length_um / GRID_UM, mode="wrap")
  return (noise - noise.mean()) / noise.std()


def _distance_from_centre(shape: tuple[int, int]) -> np.ndarray:
  row, column = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij")
  # A power of 3 lies between an ellipse and a rectangle.
  return (np.abs(row) ** 3 + np.abs(column) ** 3) ** (1 / 3)


def _sample(grid: np.ndarray, points_um: np.ndarray) -> np.ndarray:
  return ndimage.map_coordinates(grid, points_um.T[::-1] / GRID_UM, order=1, mode="nearest")
