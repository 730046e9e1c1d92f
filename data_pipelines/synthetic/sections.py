"""One synthetic section in memory: counts, picture and truth, all drawn from the same tissue."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int, UInt8
from scipy.spatial import cKDTree

from data_pipelines.synthetic import programs
from data_pipelines.synthetic.anatomy import (
  COMPARTMENT_OF_LEAF,
  COMPARTMENTS,
  LEAVES,
  SPOT_DIAMETER_UM,
  Anatomy,
  Lattice,
  anatomy,
)
from data_pipelines.synthetic.morphology import Nuclei, draw_nuclei, draw_stains
from data_pipelines.synthetic.presets import Preset, stream
from data_pipelines.synthetic.programs import (
  Genes,
  batch_effect,
  draw_ambient,
  draw_counts,
  measured,
)
from data_pipelines.synthetic.space_ranger import barcodes
from data_pipelines.synthetic.stain import Artefacts, colour, draw_artefacts, draw_stain

PATCH_UM = 112.0
"""Side of the square in which the truth counts `nuclei_in_patch`."""

_AMBIENT_SHARE = 0.15
_FIELDS = ("density", "tone", "silent", "texture")


@dataclasses.dataclass(frozen=True)
class DrawnSection:
  """A section as the scanner and the sequencer would hand it over, and what is true of it.

  Attributes:
    name: "D1S2" is the second section of donor D1.
    donor: "D1".
    lattice: every spot of the array.
    in_tissue: which of them lie on tissue.
    um_per_px: pixel size of `pixels`.
    pixels: the H&E image.
    counted: spots with counts: all in tissue, and a few off it with ambient counts.
    counts: UMIs of the counted spots, over the measured genes.
    measured: which genes the section measures.
    truth: one row per spot in tissue.
  """

  name: str
  donor: str
  lattice: Lattice
  in_tissue: Bool[np.ndarray, " position"]
  um_per_px: float
  pixels: UInt8[np.ndarray, "height width 3"]
  counted: Int[np.ndarray, " counted"]
  counts: Int[np.ndarray, "counted measured"]
  measured: Bool[np.ndarray, " gene"]
  truth: pd.DataFrame


def draw_section(preset: Preset, genes: Genes, seed: int, number: int) -> DrawnSection:
  """Section `number` of a preset; the same for the same arguments, in whatever order."""
  donor = f"D{number // preset.sections_per_donor + 1}"
  name = f"{donor}S{number % preset.sections_per_donor + 1}"
  lattice = Lattice.of(*preset.lattice)
  tissue = anatomy(preset, lattice, seed, donor, name)
  um_per_px = preset.um_per_px[number % len(preset.um_per_px)]
  in_tissue = tissue.in_tissue(lattice.centres_um)
  centres = lattice.centres_um[in_tissue]
  shares = tissue.leaf_shares(centres)
  fields = {field: tissue.field(field, centres) for field in _FIELDS}
  activity = programs.activity(shares, fields)

  rng = stream(seed, "counts", name)
  batch = batch_effect(preset, len(genes.ids), seed, donor, name)
  counts = draw_counts(preset, genes, activity, fields["density"], batch, rng)
  off_tissue = np.flatnonzero(~in_tissue)
  ambient = np.sort(rng.choice(off_tissue, int(len(off_tissue) * _AMBIENT_SHARE), replace=False))
  counts = np.concatenate([counts, draw_ambient(preset, counts, len(ambient), rng)])
  kept_genes = measured(genes, seed, name)

  rng = stream(seed, "image", name)
  nuclei = draw_nuclei(preset, tissue, rng)
  haematoxylin, eosin = draw_stains(preset, tissue, nuclei, um_per_px, rng)
  artefacts = draw_artefacts(preset, tissue, rng)
  stain = draw_stain(preset, seed, donor, name)
  pixels = colour(haematoxylin, eosin, stain, artefacts, um_per_px, rng)

  truth = pd.DataFrame({"barcode": barcodes(len(in_tissue))[in_tissue]})
  truth = truth.assign(
    **_regions(tissue, centres),
    x_um=centres[:, 0],
    y_um=centres[:, 1],
    um_per_px=um_per_px,
    **_seen(nuclei, artefacts, centres),
    **{f"share/{leaf}": shares[:, n] for n, leaf in enumerate(LEAVES)},
    **{f"field/{field}": values for field, values in fields.items()},
    **{f"activity/{program}": activity[:, n] for n, program in enumerate(programs.PROGRAMS)},
  )
  return DrawnSection(
    name=name,
    donor=donor,
    lattice=lattice,
    in_tissue=in_tissue,
    um_per_px=um_per_px,
    pixels=pixels,
    counted=np.concatenate([np.flatnonzero(in_tissue), ambient]),
    counts=counts[:, kept_genes],
    measured=kept_genes,
    truth=truth,
  )


def _regions(tissue: Anatomy, centres_um: np.ndarray) -> dict[str, np.ndarray]:
  leaf = tissue.leaf(centres_um)
  compartment = COMPARTMENT_OF_LEAF[leaf]
  return {"leaf": np.array(LEAVES)[leaf], "compartment": np.array(COMPARTMENTS)[compartment]}


def _seen(nuclei: Nuclei, artefacts: Artefacts, centres_um: np.ndarray) -> dict[str, np.ndarray]:
  tree = cKDTree(nuclei.centres_um)
  in_spot = tree.query_ball_point(centres_um, SPOT_DIAMETER_UM / 2, return_length=True)
  in_patch = tree.query_ball_point(centres_um, PATCH_UM / 2, p=np.inf, return_length=True)
  return {
    "nuclei_in_spot": in_spot.astype(np.int32),
    "nuclei_in_patch": in_patch.astype(np.int32),
    "fold": artefacts.in_fold(centres_um),
    "pen": artefacts.in_pen(centres_um),
  }
