import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from hibio.finetuning.expression import nb_nll, poisson_nll


@pytest.fixture(scope="module")
def case():
  """Counts from none to many, means from tiny to hundreds, genes from noisy to nearly Poisson."""
  rng = np.random.default_rng(0)
  mean = rng.lognormal(0, 2, (3, 40, 5)).astype(np.float32)
  counts = rng.poisson(rng.gamma(0.5, 2 * mean)).astype(np.int32)
  counts[0] = 0
  inverse_dispersion = np.array([0.05, 0.5, 1, 10, 100], np.float32)
  return counts, mean, inverse_dispersion


def test_poisson_nll_matches_scipy(case):
  counts, mean, _ = case
  got = jax.jit(poisson_nll)(*map(jnp.asarray, case[:2]))
  want = -stats.poisson.logpmf(counts, mean.astype(np.float64))
  np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)  # float32 gammaln


def test_nb_nll_matches_scipy(case):
  counts, mean, theta = case[0], case[1].astype(np.float64), case[2].astype(np.float64)
  want = -stats.nbinom.logpmf(counts, n=theta, p=theta / (theta + mean))
  got = jax.jit(nb_nll)(*map(jnp.asarray, case))
  np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)  # float32 gammaln


def test_without_dispersion_the_negative_binomial_is_poisson(case):
  counts, mean = np.minimum(case[0], 20), np.clip(case[1], 0.1, 20)
  theta = jnp.full(5, 1e4, jnp.float32)
  np.testing.assert_allclose(
    jax.jit(nb_nll)(jnp.asarray(counts), jnp.asarray(mean), theta),
    jax.jit(poisson_nll)(jnp.asarray(counts), jnp.asarray(mean)),
    atol=0.05,
  )


def test_gradients_are_finite_at_zero_counts_and_at_both_ends_of_the_means():
  counts = jnp.zeros((2, 1), jnp.int32)
  mean = jnp.array([[1e-6], [1e6]], jnp.float32)
  total = lambda mean, theta: nb_nll(counts, mean, theta).sum()  # noqa: E731
  gradient = jax.jit(jax.grad(total, argnums=(0, 1)))
  for value in gradient(mean, jnp.ones(1)):
    assert np.isfinite(value).all()
