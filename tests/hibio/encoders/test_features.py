"""Features of a frozen encoder take the place of patches, from the batch to a training step."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipelines.problems import BadInputError
from hibio import configs, forward
from hibio.model import HiBio
from tests.hibio.fake import SMALL, fake, moved

GENES, FEATURES = 24, 5
CONFIG = dataclasses.replace(SMALL, image_encoder="features")
MODEL = HiBio(CONFIG, GENES)


@pytest.fixture(scope="module")
def data():
  batch, tables = fake(windows=2, spots=6, genes=GENES, pathways=2, patch_px=0)
  values = np.random.default_rng(0).normal(size=(2, 6, FEATURES)).astype(np.float32)
  return jax.tree.map(jnp.asarray, (batch.replace(features=values), tables))


@pytest.fixture(scope="module")
def params(data):
  return forward.initial_params(MODEL, *data, seed=0)


def test_a_training_step_learns_to_read_features(data, params):
  assert params["image"]["hidden"]["kernel"].shape == (FEATURES, 8)
  assert "image/hidden/kernel" in moved(MODEL, params, data)


def test_features_of_one_spot_say_nothing_of_the_others(data, params):
  batch, tables = data
  embed = forward.frozen(MODEL)
  other = batch.replace(features=batch.features.at[0, 0].add(3.0))
  moved = np.asarray(embed(params, other, tables).image - embed(params, batch, tables).image)
  assert (np.abs(moved).max(-1) > 1e-3).tolist() == [[True] + [False] * 5, [False] * 6]


def test_only_training_hides_features(data, params):
  batch, tables = data
  train = jax.jit(forward.for_training(MODEL, configs.AugmentationConfig()))
  one, again, other = (train(params, batch, tables, jax.random.key(n)).image for n in (0, 0, 1))
  np.testing.assert_array_equal(one, again)
  assert (np.asarray(one) != np.asarray(other)).any()
  none = configs.AdapterConfig(input_dropout=0.0, hidden_dropout=0.0)
  still = HiBio(dataclasses.replace(CONFIG, adapter=none), GENES)
  train = jax.jit(forward.for_training(still, configs.AugmentationConfig()))
  one, other = (train(params, batch, tables, jax.random.key(n)).image for n in (0, 1))
  np.testing.assert_array_equal(one, other)


def test_an_encoder_and_a_batch_that_do_not_belong_together_are_refused_in_one_line(data):
  batch, tables = data
  with pytest.raises(BadInputError, match="model.image_encoder: found features"):
    forward.initial_params(MODEL, batch.replace(features=None), tables, seed=0)
  pixels = HiBio(dataclasses.replace(CONFIG, image_encoder="vit"), GENES)
  with pytest.raises(BadInputError, match="model.image_encoder: found vit"):
    forward.initial_params(pixels, batch, tables, seed=0)
  deaf = dataclasses.replace(CONFIG, adapter=configs.AdapterConfig(input_dropout=1.0))
  with pytest.raises(BadInputError, match="adapter.input_dropout: found 1.0"):
    forward.initial_params(HiBio(deaf, GENES), batch, tables, seed=0)
