from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import softmax

from hibio import regions

compact = jax.jit(regions.compact, static_argnames="max_regions")
pool = jax.jit(regions.pool, static_argnames="max_regions")

IDS = np.array([7, 7, 900_000, -1, 3, 900_000, 7, 3], np.int32)
MASK = np.array([1, 1, 1, 1, 1, 1, 0, 1], bool)


def test_ids_of_the_corpus_become_consecutive_rows():
  segment, present = compact(jnp.asarray(IDS), jnp.asarray(MASK), max_regions=5)
  np.testing.assert_array_equal(segment, [1, 1, 2, 5, 0, 2, 5, 0])
  np.testing.assert_array_equal(present, [1, 1, 1, 0, 0])


def test_the_largest_regions_stay_when_there_are_too_many():
  ids = jnp.array([0, 1, 1, 2, 3, 3, 3], jnp.int32)
  segment, present = compact(ids, jnp.ones(7, bool), max_regions=2)
  np.testing.assert_array_equal(segment, [2, 0, 0, 2, 1, 1, 1])
  np.testing.assert_array_equal(present, [1, 1])


def test_a_batch_may_have_more_places_than_spots_or_no_region_at_all():
  segment, present = compact(jnp.array([4, 4], jnp.int32), jnp.ones(2, bool), max_regions=6)
  np.testing.assert_array_equal(segment, [0, 0])
  assert int(present.sum()) == 1
  segment, present = compact(jnp.full(2, -1, jnp.int32), jnp.ones(2, bool), max_regions=6)
  np.testing.assert_array_equal(segment, [6, 6])
  assert not present.any()


def test_a_region_is_the_unit_norm_mean_of_its_spots_by_the_softmax_of_their_scores():
  rng = np.random.default_rng(0)
  embedding = rng.normal(size=(8, 4)).astype(np.float32)
  score = rng.normal(size=8).astype(np.float32) + 300  # far beyond what exp can hold
  segment = np.array([1, 1, 2, 5, 0, 2, 5, 0], np.int32)
  got = pool(jnp.asarray(embedding), jnp.asarray(score), jnp.asarray(segment), max_regions=5)
  for row in range(3):
    inside = segment == row
    want = softmax(score[inside].astype(np.float64)) @ embedding[inside]
    np.testing.assert_allclose(got[row], want / np.linalg.norm(want), rtol=1e-4)
  np.testing.assert_array_equal(got[3:], 0.0)


def test_spots_outside_of_all_regions_get_no_gradient_and_nothing_is_nan():
  def norm(embedding, score, segment):
    return (regions.pool(embedding, score, segment, 3) * jnp.arange(4.0)[None, :]).sum()

  gradient = jax.jit(jax.grad(norm, (0, 1)))
  embedding, score = jnp.ones((4, 4)), jnp.zeros(4)
  some = gradient(embedding, score, jnp.array([0, 0, 3, 3], jnp.int32))
  np.testing.assert_array_equal(some[0][2:], 0.0)
  assert np.abs(some[0][:2]).max() > 0.1
  for leaf in gradient(embedding, score, jnp.full(4, 3, jnp.int32)):
    np.testing.assert_array_equal(leaf, 0.0)


def test_regions_touch_where_spots_of_one_section_are_close():
  rng = np.random.default_rng(1)
  positions = rng.uniform(0, 400, (40, 2)).astype(np.float32)
  section = rng.integers(0, 2, 40).astype(np.int32)
  segment = (section * 3 + rng.integers(0, 4, 40)).astype(np.int32)  # some are in none: 6
  close = (cdist(positions, positions) < 60) & (section[:, None] == section[None])
  want = np.array(
    [[close[np.ix_(segment == a, segment == b)].any() for b in range(6)] for a in range(6)]
  )
  for block in (None, 8):
    adjacency = functools.partial(regions.adjacency, radius_um=60.0, max_regions=6, block=block)
    got = jax.jit(adjacency)(*map(jnp.asarray, (segment, positions, section)))
    np.testing.assert_array_equal(got, want)
  assert 6 < want.sum() < 36


def test_each_finer_region_knows_the_coarser_one_it_lies_in():
  fine = jnp.array([0, 0, 1, 2, 2, 4], jnp.int32)
  coarse = jnp.array([1, 1, 1, 0, 0, 4], jnp.int32)  # 4: in none
  np.testing.assert_array_equal(regions.parents(fine, coarse, 4), [1, 1, 0, 4])
  orphan = jnp.array([4, 4, 1, 0, 0, 4], jnp.int32)  # the batch has no room for the parent of 0
  np.testing.assert_array_equal(regions.parents(fine, orphan, 4), [4, 1, 0, 4])
