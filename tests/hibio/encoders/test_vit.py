"""The vision transformer sees each patch by itself; its stems make tokens in the patch's order."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hibio.configs import ModelConfig, TransformerConfig
from hibio.encoders.vit import STEMS, VisionTransformer, convolution_channels, cut
from tests.hibio.fake import fake


@pytest.fixture(scope="module")
def patches():
  return jnp.asarray(np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def encode(patches):
  tower = TransformerConfig(width=8, depth=1, num_heads=2)
  config = ModelConfig(embedding_width=8, patch_px=8, token_px=4, image=tower, gene=tower)
  model, (batch, _) = VisionTransformer(config), fake(windows=2, spots=3, genes=4, pathways=1)
  params = jax.jit(model.init)(jax.random.key(0), batch.replace(patches=patches))
  apply = jax.jit(lambda patches: model.apply(params, batch.replace(patches=patches)))
  return lambda patches: np.asarray(apply(patches))


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


SIDE, TOKEN, WIDTH = 16, 8, 24


class Stem(nn.Module):
  name_of: str

  @nn.compact
  def __call__(self, pixels):
    return STEMS[self.name_of](pixels, WIDTH, TOKEN, jnp.float32)


@pytest.fixture(scope="module", params=sorted(STEMS))
def stem(request):
  module = Stem(request.param)
  params = module.init(jax.random.key(0), jnp.zeros((1, SIDE, SIDE, 3)))
  return lambda pixels: np.asarray(module.apply(params, jnp.asarray(pixels, jnp.float32)))


def test_a_token_is_where_its_pixels_are_row_by_row(stem):
  picture = np.random.default_rng(2).normal(size=(1, SIDE, SIDE, 3))
  changed = np.repeat(picture, 5, axis=0)
  for token, (row, column) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)], start=1):
    # Convolutions of stride 2 are centred at the corner.
    place = np.s_[TOKEN * row : TOKEN * row + 2, TOKEN * column : TOKEN * column + 2]
    changed[token][place] += 3.0
  tokens = stem(changed)
  assert tokens.shape == (5, 4, WIDTH)
  change = np.abs(tokens[1:] - tokens[:1]).max(-1)
  np.testing.assert_array_equal(change.argmax(1), np.arange(4))


def test_convolutions_tell_textures_of_one_mean_apart_that_a_mean_of_linear_tokens_cannot():
  rng = np.random.default_rng(0)
  fine = rng.permuted(np.tile([-1.0, 1.0], SIDE * SIDE // 2), axis=0).reshape(1, SIDE, SIDE, 1)
  coarse = np.kron(np.array([[1.0, -1.0], [-1.0, 1.0]]), np.ones((4, 4)))
  coarse = np.tile(coarse, (2, 2)).reshape(1, SIDE, SIDE, 1)
  both = np.concatenate([fine, -fine, coarse, -coarse]).repeat(3, -1)

  def apart(name):
    module = Stem(name)
    params = module.init(jax.random.key(1), jnp.zeros((1, SIDE, SIDE, 3)))
    tokens = np.asarray(module.apply(params, jnp.asarray(both, jnp.float32)))
    # A texture and its negative: linear tokens of both cancel, whatever the texture.
    means = tokens.reshape(2, 2, *tokens.shape[1:]).mean((1, 2))
    return np.abs(means[0] - means[1]).max()

  assert apart("pieces") < 1e-5
  assert apart("convolutions") > 1e-2


def test_channels_double_up_to_the_width():
  assert convolution_channels(96, 8) == [24, 48, 96]
  assert convolution_channels(32, 8) == [16, 16, 32]
  assert convolution_channels(1024, 16) == [128, 256, 512, 1024]
