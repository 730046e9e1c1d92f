from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import entropy

from hibio import masked


@pytest.fixture
def rng() -> np.random.Generator:
  return np.random.default_rng(0)


def test_masked_mean_is_the_mean_of_the_subset_and_zero_of_nothing(rng):
  values = rng.normal(size=(5, 4)).astype(np.float32)
  mask = rng.random((5, 4)) < 0.5
  np.testing.assert_allclose(
    masked.masked_mean(jnp.asarray(values), jnp.asarray(mask)), values[mask].mean(), rtol=1e-5
  )
  assert float(masked.masked_mean(jnp.asarray(values), jnp.zeros((5, 4), bool))) == 0.0


def test_masked_mean_ignores_what_is_not_finite_outside_of_the_mask():
  value = masked.masked_mean(jnp.array([jnp.nan, 2.0]), jnp.array([False, True]))
  assert float(value) == 2.0


def test_masked_mean_counts_exactly_in_bfloat16():
  ones = jnp.ones(1000, jnp.bfloat16)
  assert float(masked.masked_mean(ones, jnp.ones(1000, bool))) == 1.0


def test_masked_softmax_is_the_softmax_of_the_subset(rng):
  logits = rng.normal(size=(3, 6)).astype(np.float32)
  mask = np.array([[1, 0, 1, 1, 0, 1], [0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0]], bool)
  got = masked.masked_softmax(jnp.asarray(logits), jnp.asarray(mask))
  np.testing.assert_allclose(got[0][mask[0]], softmax(logits[0][mask[0]]), rtol=1e-5)
  np.testing.assert_array_equal(got[1:], mask[1:].astype(float))
  np.testing.assert_array_equal(np.asarray(got)[~mask], 0.0)


def test_masked_softmax_has_a_finite_gradient_where_everything_is_masked():
  def peak(logits):
    return (masked.masked_softmax(logits, jnp.zeros((2, 3), bool)) ** 2).sum()

  np.testing.assert_array_equal(jax.grad(peak)(jnp.ones((2, 3))), 0.0)


def test_entropy_matches_scipy_and_has_a_finite_gradient_at_certainty(rng):
  probabilities = np.array([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0]], np.float32)
  np.testing.assert_allclose(
    masked.entropy(jnp.asarray(probabilities)), entropy(probabilities, axis=-1), atol=1e-6
  )
  gradient = jax.grad(lambda p: masked.entropy(p).sum())(jnp.asarray(probabilities))
  assert np.isfinite(gradient).all()


def test_unit_keeps_zero_at_zero_with_a_finite_gradient():
  vectors = jnp.array([[3.0, 4.0], [0.0, 0.0]])
  np.testing.assert_allclose(masked.unit(vectors), [[0.6, 0.8], [0.0, 0.0]], rtol=1e-6)
  gradient = jax.grad(lambda v: masked.unit(v).sum())(vectors)
  assert np.isfinite(gradient).all()


def test_unit_rows_are_those_of_the_device_for_any_number_of_axes(rng):
  vectors = rng.normal(size=(4, 2, 8)).astype(np.float32)
  vectors[0, 0] = 0
  got = masked.unit_rows(vectors)
  np.testing.assert_allclose(got, masked.unit(jnp.asarray(vectors)), rtol=1e-5)
  assert masked.unit_rows(vectors.astype(np.float64)).dtype == np.float64
