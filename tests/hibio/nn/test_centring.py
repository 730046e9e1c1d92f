"""The mean that is taken away: that of the batch in training, the tracked one afterwards."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hibio.nn.centring import TRACKED, Centring

WIDTH = 4
PARAMS = {"params": {TRACKED: jnp.arange(4.0)}}


@pytest.fixture(scope="module")
def vectors():
  return jnp.asarray(np.random.default_rng(0).normal(3.0, 1.0, (2, 5, WIDTH)).astype(np.float32))


@pytest.fixture(scope="module")
def known():
  return jnp.asarray(np.array([[1, 1, 1, 1, 0], [1, 1, 0, 0, 0]], bool))


def test_in_training_known_vectors_have_mean_0_whatever_the_others_are(vectors, known):
  garbage = jnp.where(known[..., None], vectors, 1e3)
  got = np.asarray(Centring().apply(PARAMS, garbage, known, train=True))[np.asarray(known)]
  np.testing.assert_allclose(got.mean(0), 0.0, atol=1e-6)
  np.testing.assert_allclose(got.std(0), np.asarray(vectors)[np.asarray(known)].std(0), rtol=1e-5)


def test_a_frozen_model_takes_the_tracked_mean_away_whatever_else_is_in_the_batch(vectors, known):
  got = Centring().apply(PARAMS, vectors, known)
  np.testing.assert_allclose(got, vectors - jnp.arange(4.0)[None, None], atol=1e-6)


def test_a_gradient_step_of_length_1_moves_the_tracked_mean_onto_that_of_the_batch(vectors, known):
  def loss(params):
    return (Centring().apply(params, vectors, known, train=True) ** 3).sum()

  gradient = jax.grad(loss)(PARAMS)["params"][TRACKED]
  mean = np.asarray(vectors)[np.asarray(known)].mean(0)
  np.testing.assert_allclose(jnp.arange(4.0) - gradient, mean, rtol=1e-5)


def test_a_batch_of_which_nothing_is_known_leaves_the_tracked_mean_where_it_is(vectors, known):
  nothing = jnp.zeros_like(known)
  got = Centring().apply(PARAMS, vectors, nothing, train=True)
  np.testing.assert_array_equal(got, Centring().apply(PARAMS, vectors, nothing))

  def loss(params):
    return Centring().apply(params, vectors, nothing, train=True).sum()

  pull = jax.grad(loss)(PARAMS)["params"]["tracked_mean"]
  np.testing.assert_array_equal(pull, np.zeros_like(pull))
