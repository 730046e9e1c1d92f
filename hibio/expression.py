"""From raw counts to shares, logs and values standardised in the section, on the device.

The same definitions as `data_pipelines.preparation.statistics`, which makes the tables read here.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hibio.batch import SectionStatistics

SCALE = 1e4
MIN_LOG_STD = 0.1
MAX_Z = 10.0


def fraction(
  counts: Int[Array, "window spot gene"], measured: Bool[Array, "window #spot gene"]
) -> Float[Array, "window spot gene"]:
  """Each gene's share of the spot's counts over measured genes; 0 in a spot without counts."""
  counts = jnp.where(measured, counts, 0).astype(jnp.float32)
  return counts / jnp.maximum(counts.sum(-1, keepdims=True), 1.0)


def log_expression(fraction: Float[Array, "*dims"]) -> Float[Array, "*dims"]:
  """log1p of counts per ten thousand."""
  return jnp.log1p(SCALE * fraction)


def standardised(
  counts: Int[Array, "window spot gene"],
  measured: Bool[Array, "window #spot gene"],
  log_mean: Float[Array, "window #spot gene"],
  log_std: Float[Array, "window #spot gene"],
) -> Float[Array, "window spot gene"]:
  """Log expression over its section: mean 0, standard deviation 1; 0 where not measured.

  A standard deviation below 0.1 counts as 0.1, and what lies beyond 10 of them as 10: else a gene
  seen in one spot of a section would outweigh all others.
  """
  z = (log_expression(fraction(counts, measured)) - log_mean) / jnp.maximum(log_std, MIN_LOG_STD)
  return jnp.where(measured, jnp.clip(z, -MAX_Z, MAX_Z), 0.0)


def standardised_in_sections(
  counts: Int[Array, "window spot gene"],
  statistics: SectionStatistics,
  section_index: Int[Array, " window"],
) -> Float[Array, "window spot gene"]:
  """`standardised`, by the tables of each window's section."""
  measured, log_mean, log_std = (
    jnp.asarray(table)[section_index][:, None]
    for table in (statistics.measured, statistics.log_mean, statistics.log_std)
  )
  return standardised(counts, measured, log_mean, log_std)
