"""Neighbours change a spot; distance is all that counts of where they are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hibio.configs import ContextConfig
from hibio.encoders.context import NeighbourContext

WIDTH = 8
CONFIG = ContextConfig(num_heads=2, radius_um=150.0)


@pytest.fixture(scope="module")
def lattice():
  """Nine spots 100 um apart, then one far away from all others."""
  positions = np.stack(np.divmod(np.arange(9), 3), -1) * 100.0
  positions = np.concatenate([positions, [[5000.0, 5000.0]]]).astype(np.float32)
  return jnp.asarray(np.stack([positions, positions[::-1]]))


@pytest.fixture(scope="module")
def vectors():
  return jnp.asarray(np.random.default_rng(0).normal(size=(2, 10, WIDTH)).astype(np.float32))


KNOWN = jnp.ones((2, 10), bool)


@pytest.fixture(scope="module")
def context(vectors, lattice):
  model = NeighbourContext(CONFIG)
  params = jax.jit(model.init)(jax.random.key(0), vectors, lattice, KNOWN)
  # As large as a trained gate may be, so that what neighbours do is seen.
  params["params"]["gate"] = jnp.ones(WIDTH)
  apply = jax.jit(model.apply)
  return lambda *args: np.asarray(apply(params, *args)), model, params


def test_a_neighbour_changes_a_spot_and_one_beyond_the_radius_does_not(context, vectors, lattice):
  apply, *_ = context
  want = apply(vectors, lattice, KNOWN)
  other = apply(vectors.at[0, 0].multiply(-1.0), lattice, KNOWN)
  changed = np.abs(other - want).max(-1)[0] > 1e-5
  # Of the corner only itself and the three spots around it: 100, 100 and 141 um away.
  assert np.flatnonzero(changed).tolist() == [0, 1, 3, 4]


def test_a_spot_without_neighbours_comes_out_as_it_went_in(context, vectors, lattice):
  apply, *_ = context
  got = apply(vectors, lattice, KNOWN)
  np.testing.assert_array_equal(got[0, 9], vectors[0, 9])
  assert np.abs(got[0, :9] - np.asarray(vectors)[0, :9]).max(-1).min() > 1e-3


def test_moving_turning_and_mirroring_a_section_changes_nothing(context, vectors, lattice):
  apply, *_ = context
  want = apply(vectors, lattice, KNOWN)
  angle = 0.7
  turn = jnp.asarray(
    np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float32)
  )
  for moved in (lattice + 4096.0, lattice @ turn, lattice * jnp.array([[[-1.0, 1.0]]])):
    np.testing.assert_allclose(apply(vectors, moved, KNOWN), want, atol=1e-4)  # float32 distances


def test_how_far_a_neighbour_is_matters(context, vectors, lattice):
  apply, *_ = context
  closer = apply(vectors, lattice * 0.9, KNOWN)
  assert np.abs(closer - apply(vectors, lattice, KNOWN)).max() > 1e-4


def test_a_spot_of_which_nothing_is_known_is_seen_by_nobody_exactly(context, vectors, lattice):
  apply, *_ = context
  known = KNOWN.at[:, 4].set(False)
  got = apply(vectors.at[:, 4].set(1e3), lattice, known)
  np.testing.assert_array_equal(got, apply(vectors, lattice, known))
  assert np.abs(got[0, 3] - apply(vectors, lattice, KNOWN)[0, 3]).max() > 1e-4


def test_a_spot_of_which_nothing_is_known_is_read_from_its_neighbours(context, vectors, lattice):
  apply, *_ = context
  known = KNOWN.at[:, 4].set(False)
  want = apply(vectors, lattice, known)[0, 4]
  other = apply(vectors.at[0, 1].multiply(-1.0), lattice, known)[0, 4]
  assert np.abs(other - want).max() > 1e-4


def test_the_gate_is_small_before_training(vectors, lattice):
  model = NeighbourContext(CONFIG)
  got, _ = model.init_with_output(jax.random.key(0), vectors, lattice, KNOWN)
  change = np.abs(np.asarray(got) - np.asarray(vectors)).mean()
  assert 0 < change < 0.2 * np.abs(np.asarray(vectors)).mean()
