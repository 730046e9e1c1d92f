"""The genes of synthetic tissue, which programs are on where, and the counts that follow."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int

from data_pipelines.synthetic.anatomy import COMPARTMENTS, LEAVES
from data_pipelines.synthetic.presets import Preset, stream

GENES_PER_PROGRAM = 25

LEAF_PROGRAMS = {
  **{
    name.upper(): tuple(leaf for leaf in LEAVES if leaf.startswith(name)) for name in COMPARTMENTS
  },
  **{leaf.split("_")[1].upper(): (leaf,) for leaf in LEAVES},
  "SECRETION": ("epithelium_glandular", "stroma_loose"),
  "ACTIVATION": ("stroma_fibrous", "lymphoid_follicle"),
}
"""Program -> leaf regions where it is on; some span siblings, some span compartments."""

FIELD_PROGRAMS = {"PROLIFERATION": "density", "MATRIX": "tone", "HIDDEN": "silent"}
"""Program -> the smooth field it follows everywhere."""

SILENT_PROGRAMS = ("HIDDEN",)
"""Programs that nothing in the image shows."""

PROGRAMS = (*LEAF_PROGRAMS, *FIELD_PROGRAMS)

_MITOCHONDRIAL_SUFFIXES = "ND1 ND2 ND3 ND4 ND4L ND5 ND6 CO1 CO2 CO3 ATP6 ATP8 CYB".split()  # noqa: SIM905
_MITOCHONDRIAL = tuple(f"MT-{name}" for name in _MITOCHONDRIAL_SUFFIXES)
_RIBOSOMAL = tuple(f"RPL{n}" for n in range(3, 27)) + tuple(f"RPS{n}" for n in range(2, 25))
_DEPRECATED = 4
_DONOR_SHARE = 0.6
_UNMEASURED = 0.01
_HOUSEKEEPING_STEADIER = 5.0
_AMBIENT_DEPTH = 0.04
# Spread (log sd) of what genes yield at rest; a program's genes are alike, and low where it is off.
_HOUSEKEEPING_SPREAD, _PROGRAM_SPREAD, _BACKGROUND_SPREAD = 0.7, 0.9, 1.8
_PROGRAM_AT_REST = 0.45


@dataclasses.dataclass(frozen=True)
class Genes:
  """Every feature of the feature-barcode matrix, in file order.

  Attributes:
    ids: Ensembl-like ids; the first digit 9 keeps them apart from real genes.
    symbols: gene symbols, some hyphenated, two of them shared by two ids.
    program: row of `PROGRAMS`, -1 where none.
    housekeeping: genes that are high in every spot.
    base: share of UMIs where no program is on; sums to 1.
    loading: log fold change at activity 1; 0 without a program.
  """

  ids: np.ndarray
  symbols: np.ndarray
  program: np.ndarray
  housekeeping: Bool[np.ndarray, " gene"]
  base: Float[np.ndarray, " gene"]
  loading: Float[np.ndarray, " gene"]

  def members(self, program: str) -> list[str]:
    """Symbols of a program's genes, sorted."""
    return sorted(self.symbols[self.program == PROGRAMS.index(program)].tolist())


def draw_genes(preset: Preset, seed: int) -> Genes:
  """The gene table of a preset."""
  rng = stream(seed, "genes")
  symbols = [f"{name}{n}" for name in PROGRAMS for n in range(1, GENES_PER_PROGRAM + 1)]
  program = np.repeat(np.arange(len(PROGRAMS)), GENES_PER_PROGRAM)
  housekeeping = [*_MITOCHONDRIAL, *_RIBOSOMAL]
  background = [f"SYN{n}" for n in range(1, preset.num_background_genes + 1)]
  background[::10] = [f"{name}-AS1" for name in background[::10]]
  background[1], background[3] = background[2], background[4]  # one symbol, two ids, as in Ensembl
  symbols += housekeeping + background + [f"SYN-OLD{n}" for n in range(1, _DEPRECATED + 1)]
  size = len(symbols)
  program = np.concatenate([program, np.full(size - len(program), -1)])
  is_housekeeping = np.isin(symbols, housekeeping)

  spread = np.where(program >= 0, _PROGRAM_SPREAD, _BACKGROUND_SPREAD)
  spread = np.where(is_housekeeping, _HOUSEKEEPING_SPREAD, spread)
  base = np.exp(spread * rng.standard_normal(size) - spread**2 / 2)  # mean 1, whatever the spread
  base[program >= 0] *= _PROGRAM_AT_REST
  share = preset.housekeeping_share
  base[is_housekeeping] *= share / base[is_housekeeping].sum()
  base[~is_housekeeping] *= (1 - share) / base[~is_housekeeping].sum()
  fold = np.full(len(PROGRAMS), np.log(preset.effect))
  fold[[PROGRAMS.index(name) for name in FIELD_PROGRAMS]] = np.log(preset.field_effect)
  loading = np.where(program >= 0, fold[program] * rng.uniform(0.7, 1.3, size), 0.0)

  ids = [f"ENSG9{n:010d}" for n in rng.choice(10**6, size, replace=False)]
  ids[-_DEPRECATED:] = [f"DEPRECATED_{id_}" for id_ in ids[-_DEPRECATED:]]
  order = rng.permutation(size)
  return Genes(
    np.array(ids)[order],
    np.array(symbols)[order],
    program[order],
    is_housekeeping[order],
    base[order],
    loading[order],
  )


def activity(
  leaf_shares: Float[np.ndarray, "spot leaf"], fields: dict[str, Float[np.ndarray, " spot"]]
) -> Float[np.ndarray, "spot program"]:
  """How far each program is on in each spot: a share for leaf programs, z for field programs."""
  on = np.array([[leaf in leaves for leaf in LEAVES] for leaves in LEAF_PROGRAMS.values()], float)
  by_field = [fields[name] for name in FIELD_PROGRAMS.values()]
  return np.concatenate([leaf_shares @ on.T, np.stack(by_field, 1)], axis=1)


def draw_counts(
  preset: Preset,
  genes: Genes,
  activity: Float[np.ndarray, "spot program"],
  density: Float[np.ndarray, " spot"],
  batch: Float[np.ndarray, " gene"],
  rng: np.random.Generator,
) -> Int[np.ndarray, "spot gene"]:
  """Negative-binomial counts (gamma-Poisson); depth follows the density field in part."""
  log_rate = np.log(genes.base)[None] + batch[None]
  log_rate = log_rate + np.where(
    genes.program >= 0, activity[:, genes.program] * genes.loading[None], 0.0
  )
  rate = np.exp(log_rate)
  rate /= rate.sum(1, keepdims=True)
  log_depth = preset.depth_by_density * density + rng.normal(0, preset.depth_sd, len(density))
  mean = preset.depth * np.exp(log_depth)[:, None] * rate
  shape = preset.dispersion * np.where(genes.housekeeping, _HOUSEKEEPING_STEADIER, 1.0)
  noise = rng.gamma(shape, 1 / shape, mean.shape)
  return rng.poisson(mean * noise).astype(np.int32)


def draw_ambient(
  preset: Preset, counts: Int[np.ndarray, "spot gene"], spots: int, rng: np.random.Generator
) -> Int[np.ndarray, "ambient gene"]:
  """Counts of spots off the tissue: few, and in the proportions of the whole section."""
  rate = counts.sum(0) / counts.sum()
  depth = preset.depth * _AMBIENT_DEPTH * rng.lognormal(0, 0.5, spots)
  return rng.poisson(depth[:, None] * rate[None]).astype(np.int32)


def batch_effect(
  preset: Preset, num_genes: int, seed: int, donor: str, section: str
) -> Float[np.ndarray, " gene"]:
  """Log effect of a section on each gene; sections of a donor share part of it."""
  of_donor = stream(seed, "batch", donor).normal(0, preset.batch_sd, num_genes)
  of_section = stream(seed, "batch", section).normal(0, preset.batch_sd, num_genes)
  return np.sqrt(_DONOR_SHARE) * of_donor + np.sqrt(1 - _DONOR_SHARE) * of_section


def measured(genes: Genes, seed: int, section: str) -> Bool[np.ndarray, " gene"]:
  """Which genes the section's panel holds: a few non-housekeeping genes are absent from each."""
  absent = stream(seed, "measured", section).random(len(genes.ids)) < _UNMEASURED
  return ~absent | genes.housekeeping
