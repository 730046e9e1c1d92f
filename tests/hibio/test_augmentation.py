"""Augmented patches: the same tissue, turned, in other amounts of stain."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hibio import augmentation
from hibio.configs import AugmentationConfig
from tests.hibio.fake import fake


@pytest.fixture(scope="module")
def batch():
  return fake(windows=2, spots=12, genes=8, pathways=2, patch_px=8)[0]


@pytest.fixture(scope="module")
def augment():
  return jax.jit(augmentation.augment, static_argnums=2)


def test_the_same_key_gives_the_same_patches_and_another_key_others(augment, batch):
  config = AugmentationConfig()
  first = augment(jax.random.key(0), batch, config).patches
  np.testing.assert_array_equal(augment(jax.random.key(0), batch, config).patches, first)
  assert (augment(jax.random.key(1), batch, config).patches != first).mean() > 0.5
  assert first.dtype == jnp.uint8


def test_nothing_but_patches_changes(augment, batch):
  other = augment(jax.random.key(0), batch, AugmentationConfig())
  for field in ("counts", "positions_um", "spot_mask", "has_patch", "section_index"):
    np.testing.assert_array_equal(getattr(other, field), getattr(batch, field))


def test_without_patches_there_is_nothing_to_change(augment, batch):
  bare = batch.replace(patches=batch.patches[:, :, :0, :0])
  assert augment(jax.random.key(0), bare, AugmentationConfig()) is not None
  np.testing.assert_array_equal(
    augment(jax.random.key(0), bare, AugmentationConfig()).counts, batch.counts
  )


def test_switched_off_it_changes_nothing(augment, batch):
  off = AugmentationConfig(flips_and_rotations=False, stain_strength=0.0, stain_shift=0.0)
  np.testing.assert_array_equal(augment(jax.random.key(0), batch, off).patches, batch.patches)


def test_the_eight_symmetries_are_those_of_a_square(batch):
  patch = np.asarray(batch.patches)[0, 0]
  copies = jnp.broadcast_to(jnp.asarray(patch), (1, 8, *patch.shape))
  got = np.asarray(augmentation.turned(copies, jnp.arange(8)[None]))[0]
  turns = [np.rot90(view, k) for view in (patch, patch[:, ::-1]) for k in range(4)]
  assert {one.tobytes() for one in got} == {np.ascontiguousarray(one).tobytes() for one in turns}
  np.testing.assert_array_equal(got[0], patch)


def test_each_patch_is_turned_by_itself(augment, batch):
  config = AugmentationConfig(stain_strength=0.0, stain_shift=0.0)
  same = batch.replace(patches=np.broadcast_to(batch.patches[:1, :1], batch.patches.shape))
  views = np.asarray(augment(jax.random.key(0), same, config).patches)
  assert len({view.tobytes() for view in views.reshape(-1, 8, 8, 3)}) > 4


def test_white_stays_white_and_tissue_does_not(augment, batch):
  config = AugmentationConfig(stain_strength=0.5, stain_shift=0.2)
  white = batch.replace(patches=np.full_like(batch.patches, 255))
  assert (np.asarray(augment(jax.random.key(0), white, config).patches) == 255).all()
  pink = batch.replace(patches=np.full_like(batch.patches, 180))
  assert (np.asarray(augment(jax.random.key(0), pink, config).patches) != 180).any()


def test_as_much_stain_as_before_gives_the_same_patch(batch):
  patches = np.maximum(batch.patches, 1)
  got = augmentation.restained(jnp.asarray(patches), jnp.ones((2, 3)), jnp.zeros((2, 3)))
  assert np.abs(np.asarray(got).astype(int) - patches).max() <= 1  # rounding


@pytest.mark.parametrize("stain", [0, 1])
def test_twice_the_stain_lets_the_square_of_the_light_through(stain):
  """Beer-Lambert: light = 255 exp(-amount * colour), so that the transmitted share is squared."""
  colour = {0: np.array([0.65, 0.70, 0.29]), 1: np.array([0.07, 0.99, 0.11])}[stain]
  once = 255 * np.exp(-0.6 * colour)
  twice = 255 * np.exp(-1.2 * colour)
  patch = np.broadcast_to(np.round(once), (1, 1, 2, 2, 3)).astype(np.uint8)
  amounts = jnp.ones((1, 3)).at[0, stain].set(2.0)
  got = np.asarray(augmentation.restained(jnp.asarray(patch), amounts, jnp.zeros((1, 3))))
  assert np.abs(got.astype(float) - twice).max() < 3.0  # 8-bit input


def test_a_window_is_stained_as_one(augment, batch):
  config = AugmentationConfig(flips_and_rotations=False, stain_strength=0.5)
  same = batch.replace(patches=np.broadcast_to(batch.patches[:1, :1], batch.patches.shape))
  views = np.asarray(augment(jax.random.key(0), same, config).patches)
  assert (views == views[:, :1]).all()
  assert (views[0] != views[1]).any()
