"""Likelihoods of gene counts, per entry. Averaging lives in `reduce.py`."""

from __future__ import annotations

import jax.numpy as jnp
from jax.scipy.special import gammaln, xlogy
from jaxtyping import Array, Float, Int


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
