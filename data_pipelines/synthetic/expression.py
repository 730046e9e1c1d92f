"""UMI counts of synthetic spots: programs, depth, batch effects and over-dispersion."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from data_pipelines.synthetic.presets import Preset
from data_pipelines.synthetic.programs import Genes
from data_pipelines.synthetic.streams import stream

_DONOR_SHARE = 0.6
_UNMEASURED = 0.01
_HOUSEKEEPING_STEADIER = 5.0
_AMBIENT_DEPTH = 0.04


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
