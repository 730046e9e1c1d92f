"""Likelihoods of gene counts, per entry. Averaging lives in `reduce.py`."""

from __future__ import annotations

import jax.numpy as jnp
from jax.scipy.special import gammaln, xlogy
from jaxtyping import Array, Bool, Float, Int

from hibio.batch import Batch, Tables
from hibio.expression import in_section_units
from hibio.finetuning.heads import Head
from hibio.masked import masked_mean


def poisson_nll(
  counts: Int[Array, "*spots gene"], mean: Float[Array, "*spots gene"]
) -> Float[Array, "*spots gene"]:
  """Poisson NLL of each count, in nats.

  Args:
    mean: expected count, above 0.
  """
  x = counts.astype(mean.dtype)
  return mean - xlogy(x, mean) + gammaln(x + 1.0)


def nb_nll(
  counts: Int[Array, "*spots gene"],
  mean: Float[Array, "*spots gene"],
  inverse_dispersion: Float[Array, " gene"],
) -> Float[Array, "*spots gene"]:
  """Negative-binomial NLL of each count, in nats.

  The variance is mean + mean^2 / inverse_dispersion.

  Args:
    mean: expected count, above 0.
    inverse_dispersion: of each gene, above 0; scvi-tools' theta.

  References:
    Lopez et al. 2018, doi:10.1038/s41592-018-0229-2.
  """
  x = counts.astype(mean.dtype)
  theta = inverse_dispersion.reshape(*[1] * (mean.ndim - 1), -1)
  # log1p: theta + mean loses a small mean beside a large theta.
  log_ratio = jnp.log1p(mean / theta)
  log_mean = xlogy(x, mean) - xlogy(x, theta) - x * log_ratio
  nll = theta * log_ratio - log_mean
  return nll + gammaln(theta) + gammaln(x + 1.0) - gammaln(x + theta)


Values = dict[str, Float[Array, ""]]
"""The "loss", the "chance" (the loss of saying nothing), and monitors by their names."""

_RAREST = 1e-6
"""A gene rarer than one count in a million is taken to be that rare."""
_MAX_LOG_RATE = 8.0


def squared_error(said: Array, head: Head, batch: Batch, tables: Tables) -> Values:
  """Mean squared error of log expression standardised in its section; chance says the mean."""
  del head
  statistics, section = tables.statistics, batch.section_index
  measured = statistics.measured[section][:, None]
  truth = in_section_units(batch.counts, statistics, section)
  known = _known_genes(batch, measured)
  return {
    "loss": masked_mean((said - truth) ** 2, known),
    "chance": masked_mean(truth**2, known),
  }


def poisson(said: Array, head: Head, batch: Batch, tables: Tables) -> Values:
  """Mean Poisson NLL of the counts; chance says the section's mean share of every gene."""
  del head
  mean, guess, known = _rates(said, batch, tables)
  return {
    "loss": masked_mean(poisson_nll(batch.counts, mean), known),
    "chance": masked_mean(poisson_nll(batch.counts, guess), known),
  }


def negative_binomial(said: Array, head: Head, batch: Batch, tables: Tables) -> Values:
  """As `poisson`, negative binomial, with an inverse dispersion a gene that is learned beside."""
  mean, guess, known = _rates(said, batch, tables)
  inverse_dispersion = jnp.exp(head["log_inverse_dispersion"])
  return {
    "loss": masked_mean(nb_nll(batch.counts, mean, inverse_dispersion), known),
    "chance": masked_mean(nb_nll(batch.counts, guess, inverse_dispersion), known),
  }


def _rates(
  said: Float[Array, "window spot gene"], batch: Batch, tables: Tables
) -> tuple[
  Float[Array, "window spot gene"],
  Float[Array, "window spot gene"],
  Bool[Array, "window spot gene"],
]:
  """Expected counts as said, expected counts of a spot like its section, and where both count.

  The size factor of a spot is its number of counts over measured genes.
  """
  statistics, section = tables.statistics, batch.section_index
  measured = statistics.measured[section][:, None]
  size_factor = jnp.where(measured, batch.counts, 0).sum(-1, keepdims=True).astype(jnp.float32)
  guess = size_factor * jnp.maximum(statistics.mean_fraction[section][:, None], _RAREST)
  mean = guess * jnp.exp(jnp.clip(said, -_MAX_LOG_RATE, _MAX_LOG_RATE))
  known = _known_genes(batch, measured) & (size_factor > 0)
  # 1 where nothing counts: a mean of 0 has no finite likelihood, and a mask no finite gradient.
  return jnp.where(known, mean, 1.0), jnp.where(known, guess, 1.0), known


def _known_genes(
  batch: Batch, measured: Bool[Array, "window 1 gene"]
) -> Bool[Array, "window spot gene"]:
  return (batch.spot_mask & batch.has_patch & batch.has_counts)[..., None] & measured
