from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from hibio import layout
from hibio.masked import masked_mean
from hibio.objectives import spot
from hibio.objectives.inputs import Pairs
from hibio.training import sharding

SCALE = jnp.float32(5.0)
RULE = dict(neighbour_radius_um=150.0, soft_target_share=0.2, soft_target_temperature=0.3)


def info_nce(**changes):
  return jax.jit(functools.partial(spot.info_nce, **(RULE | changes)))


def reference_rule(pairs, radius_um=150.0):
  """Who is whose candidate, spelled out."""
  image, gene, valid, positions, section = (np.asarray(leaf) for leaf in pairs)
  allowed = np.zeros((len(valid), len(valid)), bool)
  for i in range(len(valid)):
    for j in range(len(valid)):
      close = section[i] == section[j] and np.hypot(*(positions[i] - positions[j])) < radius_um
      allowed[i, j] = i == j or (valid[i] and valid[j] and not close)
  return image.astype(np.float64), gene.astype(np.float64), valid, allowed


def reference_target(image, gene, allowed, share, temperature):
  alike = np.where(allowed, (image @ image.T + gene @ gene.T) / (2 * temperature), -np.inf)
  return (1 - share) * np.eye(len(image)) + share * softmax(alike, axis=1)


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_info_nce_is_the_masked_symmetric_cross_entropy_with_soft_targets(pairs, share):
  image, gene, valid, allowed = reference_rule(pairs)
  target = reference_target(image, gene, allowed, share, 0.3)
  logits = 5.0 * image @ gene.T

  def cross_entropy(logits):
    log_probability = log_softmax(np.where(allowed, logits, -np.inf), axis=1)
    return -(target * np.where(allowed, log_probability, 0)).sum(1)

  want = (cross_entropy(logits) + cross_entropy(logits.T)) / 2
  loss, chance = info_nce(soft_target_share=share)(pairs, SCALE)
  np.testing.assert_allclose(loss, np.where(valid, want, 0), rtol=2e-5, atol=1e-5)
  np.testing.assert_allclose(chance, np.where(valid, np.log(allowed.sum(1)), 0), rtol=1e-6)


def test_soft_targets_are_constants_for_the_gradient(pairs):
  image, gene, valid, allowed = reference_rule(pairs)
  target = reference_target(image, gene, allowed, 0.9, 0.3).astype(np.float32)

  def with_constant_target(image):
    logits = jnp.where(allowed, 5.0 * image @ pairs.gene.T, -1e9)
    transposed = jnp.where(allowed, 5.0 * pairs.gene @ image.T, -1e9)
    both = jax.nn.log_softmax(logits) + jax.nn.log_softmax(transposed)
    return -0.5 * (target * both).sum(1)[np.flatnonzero(valid)].sum()

  contrast = info_nce(soft_target_share=0.9)
  got = jax.grad(lambda image: contrast(pairs._replace(image=image), SCALE)[0].sum())
  np.testing.assert_allclose(
    got(pairs.image), jax.jit(jax.grad(with_constant_target))(pairs.image), rtol=1e-3, atol=1e-4
  )


def test_embeddings_that_know_nothing_sit_at_chance(pairs):
  collapsed = pairs._replace(image=pairs.image[:1].repeat(24, 0), gene=pairs.gene[:1].repeat(24, 0))
  loss, chance = info_nce(soft_target_share=0.0, neighbour_radius_um=0.0)(
    collapsed, jnp.float32(0.0)
  )
  np.testing.assert_allclose(loss, chance, rtol=1e-5)


def test_leaving_spots_out_by_the_mask_is_the_same_as_not_having_them(pairs):
  kept = np.flatnonzero(pairs.valid)
  contrast = info_nce()
  loss, chance = contrast(pairs, SCALE)
  subset_loss, subset_chance = contrast(jax.tree.map(lambda leaf: leaf[kept], pairs), SCALE)
  np.testing.assert_allclose(loss[kept], subset_loss, rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(chance[kept], subset_chance, rtol=1e-6)


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.2])
def test_blocks_change_neither_the_values_nor_the_gradients(pairs, share, within):
  rule = RULE | dict(soft_target_share=share, within_section=within)

  def mean(image, gene, scale, block):
    moved = pairs._replace(image=image, gene=gene)
    loss, chance = spot.info_nce(moved, scale, **rule, block=block)
    return masked_mean(loss, pairs.valid), (loss, chance)

  arguments = (pairs.image, pairs.gene, SCALE)
  whole, blocks = (
    jax.jit(jax.value_and_grad(functools.partial(mean, block=block), (0, 1, 2), has_aux=True))(
      *arguments
    )
    for block in (None, 6)
  )
  # atol: the gradient of the scale is a sum that nearly cancels.
  jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), whole, blocks)
  assert float(np.abs(blocks[1][0]).max()) > 1e-3


def test_blocks_hold_a_fraction_of_the_table():
  num_spots, block = 1024, 64

  def gradient(block):
    def mean(image, gene):
      pairs = Pairs(
        image,
        gene,
        jnp.ones(num_spots, bool),
        jnp.zeros((num_spots, 2)),
        jnp.arange(num_spots, dtype=jnp.int32),
      )
      return spot.info_nce(pairs, SCALE, **RULE, block=block)[0].mean()

    vectors = jax.ShapeDtypeStruct((num_spots, 16), jnp.float32)
    compiled = jax.jit(jax.grad(mean, (0, 1))).lower(vectors, vectors).compile()
    return compiled.memory_analysis().temp_size_in_bytes

  assert gradient(block) < num_spots * num_spots * 4  # not even one table
  assert gradient(block) < gradient(None) / 4


def test_four_devices_and_blocks_give_what_one_device_gives(pairs):
  def mean(image, gene, scale, block):
    moved = pairs._replace(image=image, gene=gene)
    return masked_mean(spot.info_nce(moved, scale, **RULE, block=block)[0], pairs.valid)

  gradient = jax.jit(jax.value_and_grad(mean, (0, 1, 2)), static_argnums=3)
  mesh = sharding.make_mesh((2, 2, 1))
  want = gradient(pairs.image, pairs.gene, SCALE, None)
  with layout.on(mesh):
    got = gradient(*sharding.put_batch((pairs.image, pairs.gene), mesh), SCALE, 3)
  # rtol: the order of additions differs between devices.
  close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-7)
  jax.tree.map(close, got, want)


def test_a_number_of_rows_that_blocks_do_not_divide_is_refused(pairs):
  with pytest.raises(ValueError, match="24 rows"):
    spot.info_nce(pairs, SCALE, **RULE, block=7)


def test_spatial_neighbours_are_excluded_as_negatives_and_the_same_place_elsewhere_is_not(pairs):
  everyone = pairs._replace(valid=jnp.ones(24, bool))
  _, chance = info_nce()(everyone, SCALE)
  # The corner of a square lattice has 3 neighbours within 150 um, an inner spot has 8.
  np.testing.assert_allclose(np.exp(chance[0]), 24 - 3, rtol=1e-5)
  np.testing.assert_allclose(np.exp(chance[5]), 24 - 8, rtol=1e-5)
  share = spot.masked_share(everyone, neighbour_radius_um=150.0)
  np.testing.assert_allclose(share[0], 3 / 23, rtol=1e-5)


def test_a_radius_still_holds_far_from_the_origin(pairs):
  moved = pairs._replace(positions_um=pairs.positions_um + 80_000.0)
  here = spot.masked_share(pairs, neighbour_radius_um=101.0)
  np.testing.assert_array_equal(spot.masked_share(moved, neighbour_radius_um=101.0), here)


def test_gradients_are_finite_and_zero_when_no_pair_is_valid(pairs):
  def mean(image, gene, scale):
    nobody = pairs._replace(image=image, gene=gene, valid=jnp.zeros(24, bool))
    loss, _ = spot.info_nce(nobody, scale, **RULE)
    return masked_mean(loss, nobody.valid)

  value, gradients = jax.jit(jax.value_and_grad(mean, (0, 1, 2)))(pairs.image, pairs.gene, SCALE)
  assert float(value) == 0.0
  for gradient in gradients:
    np.testing.assert_array_equal(gradient, 0.0)


def test_accuracy_finds_the_nearest_among_the_candidates(pairs):
  image, gene, valid, allowed = reference_rule(pairs)
  section = np.asarray(pairs.section)
  for within in (False, True):
    rule = allowed & (section[:, None] == section[None, :]) if within else allowed
    nearest = np.where(rule, image @ gene.T, -np.inf).argmax(1) == np.arange(24)
    accuracy = functools.partial(spot.accuracy, neighbour_radius_um=150.0, within_section=within)
    hit, chance = jax.jit(accuracy)(pairs)
    np.testing.assert_array_equal(hit, np.where(valid, nearest, 0))
    np.testing.assert_allclose(chance, np.where(valid, 1 / rule.sum(1), 0), rtol=1e-6)
    assert 0 < float(hit.sum()) < valid.sum()


def test_collapsed_embeddings_find_nothing(pairs):
  collapsed = pairs._replace(image=pairs.image[:1].repeat(24, 0), gene=pairs.gene[:1].repeat(24, 0))
  hit, _ = spot.accuracy(collapsed, neighbour_radius_um=150.0)
  np.testing.assert_array_equal(hit, 0.0)
