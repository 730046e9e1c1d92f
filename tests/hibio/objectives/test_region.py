from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.special import log_softmax, softmax
from scipy.stats import entropy

from hibio.objectives import region
from tests.hibio.fake import unit_vectors

TEMPERATURE = 0.25
PRESENT = np.array([1, 1, 1, 1, 0, 0], bool)
ADJACENT = np.eye(6, dtype=bool)
ADJACENT[0, 1] = ADJACENT[1, 0] = True
SEGMENT = np.array([0, 1, 2, 3, 0, 6, 6], np.int32)

region_contrast = jax.jit(functools.partial(region.region_contrast, temperature=TEMPERATURE))
spot_to_region = jax.jit(functools.partial(region.spot_to_region, temperature=TEMPERATURE))
hierarchy = jax.jit(functools.partial(region.hierarchy, temperature=TEMPERATURE))


@pytest.fixture
def case(rng):
  """Spots, image regions and gene regions; rows 4 and 5 are not in use."""
  image, gene = unit_vectors(rng, 2, 6, 5) * PRESENT[None, :, None]
  return tuple(map(jnp.asarray, (unit_vectors(rng, 7, 5), image, gene)))


def test_region_contrast_is_the_cross_entropy_over_regions_that_do_not_touch(case):
  _, image, gene = map(np.asarray, case)
  allowed = (PRESENT[None] & ~ADJACENT) | np.eye(6, dtype=bool)
  logits = image @ gene.T / TEMPERATURE
  want = -0.5 * sum(
    np.diag(log_softmax(np.where(allowed, table, -np.inf), axis=1)) for table in (logits, logits.T)
  )
  loss, chance = region_contrast(*case[1:], jnp.asarray(PRESENT), jnp.asarray(ADJACENT))
  np.testing.assert_allclose(loss, np.where(PRESENT, want, 0), rtol=1e-4)
  np.testing.assert_allclose(chance, np.log([3, 3, 4, 4, 1, 1]), rtol=1e-6)


def test_spot_to_region_is_the_cross_entropy_of_the_own_region(case):
  spots, _, gene = map(np.asarray, case)
  want = np.zeros(7)
  for spot, row in enumerate(SEGMENT):
    if row < 6:
      choices = [r for r in range(4) if r == row or not ADJACENT[row, r]]
      logits = gene[choices] @ spots[spot] / TEMPERATURE
      want[spot] = -log_softmax(logits)[choices.index(row)]
  arrays = map(jnp.asarray, (SEGMENT, PRESENT, ADJACENT))
  loss, chance = spot_to_region(case[0], case[2], *arrays)
  np.testing.assert_allclose(loss, want, rtol=1e-4)
  np.testing.assert_allclose(np.exp(chance), [3, 3, 4, 4, 3, 1, 1], rtol=1e-5)


def test_hierarchy_is_the_divergence_of_the_summed_finer_assignment_from_the_coarser(case):
  spots, fine, coarse = map(np.asarray, case)
  parent = np.array([0, 0, 2, 6, 6, 6], np.int32)  # row 3 lost its parent, rows 1 and 3 a child
  got = hierarchy(*case, jnp.asarray(parent))
  finer = softmax(spots @ fine[:3].T / TEMPERATURE, axis=1)
  summed = np.stack([finer[:, 0] + finer[:, 1], finer[:, 2]], axis=1)
  target = softmax(spots @ coarse[[0, 2]].T / TEMPERATURE, axis=1)
  np.testing.assert_allclose(got, entropy(target, summed, axis=1), rtol=1e-3)


def test_hierarchy_teaches_the_finer_level_only(case):
  parent = jnp.array([0, 0, 2, 3, 6, 6], jnp.int32)

  def mean(fine, coarse):
    return region.hierarchy(case[0], fine, coarse, parent, temperature=TEMPERATURE).mean()

  of_fine, of_coarse = jax.jit(jax.grad(mean, (0, 1)))(*case[1:])
  np.testing.assert_array_equal(of_coarse, 0.0)
  assert float(np.abs(of_fine).max()) > 1e-3


def test_without_regions_values_and_gradients_are_zero(case):
  nothing = jnp.zeros(6, bool)
  nowhere = jnp.full(7, 6, jnp.int32)
  orphans = jnp.full(6, 6, jnp.int32)

  def everything(spots, image, gene):
    touching = jnp.asarray(ADJACENT)
    contrast, _ = region.region_contrast(image, gene, nothing, touching, temperature=0.1)
    crossing, _ = region.spot_to_region(spots, gene, nowhere, nothing, touching, temperature=0.1)
    nesting = region.hierarchy(spots, image, gene, orphans, temperature=0.1)
    return contrast.sum() + crossing.sum() + nesting.sum()

  value, gradients = jax.jit(jax.value_and_grad(everything, (0, 1, 2)))(*case)
  assert float(value) == 0.0
  for gradient in gradients:
    np.testing.assert_array_equal(gradient, 0.0)


def test_smoothness_is_the_jensen_shannon_divergence_over_edges_of_neighbours(rng):
  assignment = rng.dirichlet(np.ones(4), (2, 9)).astype(np.float32)
  positions = np.stack(np.divmod(np.arange(9), 3), -1)[None] * 100.0
  positions = np.repeat(positions, 2, 0).astype(np.float32)
  mask = np.ones((2, 9), bool)
  mask[1, 4] = False
  smoothness = jax.jit(functools.partial(region.smoothness, radius_um=110.0))
  values, exists = smoothness(*map(jnp.asarray, (assignment, positions, mask)))
  # A 3 x 3 grid has 12 edges, seen from both ends; the centre alone has 4 of them.
  np.testing.assert_array_equal(exists.sum((1, 2)), [24, 16])
  for window in range(2):
    for spot in range(9):
      distance = np.hypot(*(positions[window] - positions[window, spot]).T)
      others = [j for j in range(9) if 0 < distance[j] < 110 and mask[window, [j, spot]].all()]
      want = [jensenshannon(assignment[window, spot], assignment[window, j]) ** 2 for j in others]
      got = np.asarray(values)[window, spot][np.asarray(exists)[window, spot]]
      np.testing.assert_allclose(np.sort(got), np.sort(want), rtol=1e-3, atol=1e-6)


def test_smoothness_keeps_to_the_nearest_and_is_zero_where_neighbours_agree():
  assignment = jnp.zeros((1, 5, 3)).at[:, :, 1].set(1.0)
  line = jnp.stack([jnp.arange(5.0), jnp.zeros(5)], -1)[None]

  def total(assignment):
    values, exists = region.smoothness(
      assignment, line, jnp.ones((1, 5), bool), radius_um=9.0, num_neighbours=2
    )
    return values.sum(), exists

  (value, exists), gradient = jax.jit(jax.value_and_grad(total, has_aux=True))(assignment)
  assert int(exists.sum()) == 10
  np.testing.assert_allclose(value, 0.0, atol=1e-6)
  assert np.isfinite(gradient).all()
