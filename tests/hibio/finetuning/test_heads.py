import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_class_weight

from hibio.finetuning.heads import balancing_weights, label_nll, nb_nll, poisson_nll

RNG = np.random.default_rng(0)
LABELS = RNG.choice(4, 200, p=(0.7, 0.2, 0.1, 0)).astype(np.int32)


def test_the_weighted_mean_is_scikit_learns_log_loss():
  logits = RNG.normal(size=(200, 3)).astype(np.float32)
  weights = balancing_weights(LABELS, 3)[LABELS]
  got = np.asarray(label_nll(jnp.asarray(logits), jnp.asarray(LABELS)))
  probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
  want = log_loss(LABELS, probabilities, sample_weight=weights)
  np.testing.assert_allclose((got * weights).sum() / weights.sum(), want, rtol=1e-6)


def test_weights_are_scikit_learns_balanced_ones_and_0_for_a_label_that_nobody_has():
  weights = balancing_weights(np.concatenate([LABELS, [-1, -1]]), 4)
  want = compute_class_weight("balanced", classes=np.arange(3), y=LABELS)
  np.testing.assert_allclose(weights[:3], want, rtol=1e-6)
  assert weights[3] == 0


def test_a_spot_without_a_label_has_no_loss_whatever_is_said_of_it():
  logits = jnp.array([[5.0, -5.0], [0.0, 9.0]])
  np.testing.assert_array_equal(label_nll(logits, jnp.array([-1, -1])), 0)


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
