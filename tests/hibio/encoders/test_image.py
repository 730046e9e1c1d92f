"""The image encoder sees the pixels it is given, each patch by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hibio.configs import TransformerConfig
from hibio.encoders.image import ImageEncoder, cut


@pytest.fixture(scope="module")
def patches():
  return jnp.asarray(np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def encode(patches):
  model = ImageEncoder(TransformerConfig(width=8, depth=1, num_heads=2), token_px=4)
  params = jax.jit(model.init)(jax.random.key(0), patches)
  apply = jax.jit(model.apply)
  return lambda patches: np.asarray(apply(params, patches))


def test_a_patch_is_cut_into_the_squares_a_person_would_cut(patches):
  flat = patches.reshape(6, 8, 8, 3)
  pieces = np.asarray(cut(flat, 4))
  for row in range(2):
    for column in range(2):
      want = np.asarray(flat)[:, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
      np.testing.assert_array_equal(pieces[:, 2 * row + column], want.reshape(6, 48))


def test_a_patch_is_embedded_whatever_the_others_show(encode, patches):
  want = encode(patches)
  assert want.shape == (2, 3, 8)
  other = encode(patches.at[0, 1].set(0))
  changed = np.abs(other - want).max(-1) > 1e-4
  assert changed.tolist() == [[False, True, False], [False, False, False]]


def test_where_in_the_patch_something_lies_matters(encode, patches):
  left = jnp.full((2, 3, 8, 8, 3), 255, jnp.uint8).at[:, :, :4, :4].set(patches[:, :, :4, :4])
  right = jnp.full((2, 3, 8, 8, 3), 255, jnp.uint8).at[:, :, :4, 4:].set(patches[:, :, :4, :4])
  assert np.abs(encode(left) - encode(right)).max() > 1e-4
