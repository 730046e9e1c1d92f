"""How big and how hard each preset of synthetic tissue is, and its streams of random numbers.

The presets hold every number that tuning may touch.
"""

from __future__ import annotations

import dataclasses
import zlib

import numpy as np

VERSION = 1
"""Raised whenever the same preset and seed would give other bytes."""


@dataclasses.dataclass(frozen=True)
class Preset:
  """Size and difficulty of a set of synthetic sections.

  Attributes:
    donors: number of donors.
    sections_per_donor: sections of each donor; they share part of anatomy, stain and batch effect.
    lattice: rows and columns of the array's lattice (every second column holds a spot).
    tissue_share: share of the lattice that tissue covers.
    um_per_px: pixel sizes of the full-resolution images, taken in turn by section.
    num_background_genes: genes that belong to no program.
    effect: fold change of a program's genes where the program is on.
    field_effect: fold change of a field program's genes, a standard deviation of its field.
    depth: median UMIs per spot.
    depth_sd: sd of the log depth that nothing explains.
    depth_by_density: log depth, a standard deviation of the density field.
    housekeeping_share: share of UMIs in housekeeping and mitochondrial genes.
    batch_sd: sd of the log effects of donor and section on each gene.
    dispersion: gamma shape of the counts; smaller is noisier.
    stain_sd: how far stain vectors and strengths vary between donors and sections.
    tint_sd: how far the eosin tone differs between leaf regions (a colour shortcut).
    density_sd: log nuclei density, a standard deviation of the density field.
    tone_sd: log eosin strength, a standard deviation of the tone field.
    artefacts: draw folds and pen marks.
  """

  donors: int
  sections_per_donor: int
  lattice: tuple[int, int] = (38, 74)
  tissue_share: float = 0.68
  um_per_px: tuple[float, ...] = (2.8, 3.2, 2.5)
  num_background_genes: int = 690
  effect: float = 2.75
  field_effect: float = 1.9
  depth: float = 1500.0
  depth_sd: float = 0.3
  depth_by_density: float = 0.25
  housekeeping_share: float = 0.58
  batch_sd: float = 0.3
  dispersion: float = 3.0
  stain_sd: float = 0.12
  tint_sd: float = 0.08
  density_sd: float = 0.4
  tone_sd: float = 0.2
  artefacts: bool = True


PRESETS = {
  "tiny": Preset(
    donors=3,
    sections_per_donor=1,
    lattice=(12, 24),
    tissue_share=0.7,
    um_per_px=(3.5,),
    num_background_genes=60,
    depth=1200.0,
  ),
  "small": Preset(
    donors=6,
    sections_per_donor=1,
    lattice=(26, 50),
    num_background_genes=240,
    effect=5.0,
    field_effect=1.8,
    depth=1900.0,
    batch_sd=0.15,
    stain_sd=0.05,
    tint_sd=0.15,
    artefacts=False,
  ),
  "easy": Preset(
    donors=6,
    sections_per_donor=1,
    effect=5.0,
    field_effect=1.8,
    depth=1900.0,
    batch_sd=0.15,
    stain_sd=0.05,
    tint_sd=0.15,
    artefacts=False,
  ),
  "medium": Preset(donors=8, sections_per_donor=2),
  "hard": Preset(
    donors=8,
    sections_per_donor=2,
    effect=2.5,
    depth=1300.0,
    batch_sd=0.6,
    stain_sd=0.18,
  ),
}


def stream(seed: int, *names: str | int) -> np.random.Generator:
  """A generator that depends on the seed and the names alone; the same on every machine."""
  words = [zlib.crc32(str(name).encode()) for name in names]
  return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *words])))
