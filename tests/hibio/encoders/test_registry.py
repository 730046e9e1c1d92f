"""Encoders from outside the package are built, trained and asked for their last blocks by name."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipelines.problems import BadInputError
from hibio import encoders, forward
from hibio.encoders.base import GeneEncoder, ImageEncoder
from hibio.finetuning import trainable
from hibio.model import HiBio
from hibio.nn.layers import Dense
from tests.hibio.fake import SMALL, fake, moved

GENES = 24
CONFIG = dataclasses.replace(
  SMALL, image_encoder="mean_colour", gene_encoder="mean_keyword", gene_profile=False
)


class MeanColour(ImageEncoder):
  """Two layers over the mean colour of a patch; the second is the last block."""

  @nn.compact
  def __call__(self, batch):
    colour = batch.patches.astype(self.dtype).mean((2, 3)) / 255.0
    return Dense(8, name="second")(nn.gelu(Dense(8, name="first")(colour)))

  @property
  def num_blocks(self):
    return 2

  def in_last_blocks(self, path, number):
    return path.split("/")[0] in ("first", "second")[2 - number :]


class MeanKeyword(GeneEncoder):
  """The mean vector of a spot's keyword genes."""

  @nn.compact
  def __call__(self, keywords, gene_table, measured_share):
    del measured_share
    return (gene_table[keywords.gene] * keywords.weight[..., None]).sum(-2)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
  monkeypatch.setitem(encoders.IMAGE_ENCODERS, "mean_colour", MeanColour)
  monkeypatch.setitem(encoders.GENE_ENCODERS, "mean_keyword", MeanKeyword)


@pytest.fixture(scope="module")
def data():
  return jax.tree.map(jnp.asarray, fake(windows=2, spots=6, genes=GENES, pathways=2, patch_px=8))


def test_a_toy_encoder_of_each_modality_takes_a_training_step(data):
  model = HiBio(CONFIG, GENES)
  begin = jax.jit(lambda: forward.initial_params(model, *data, seed=0))()
  assert set(begin["image"]) == {"first", "second"}
  assert "gene" not in begin
  assert "image/first/kernel" in moved(model, begin, data)


def test_embeddings_of_a_toy_encoder_are_of_the_patch_alone(data):
  batch, tables = data
  model = HiBio(CONFIG, GENES)
  params = forward.initial_params(model, batch, tables, seed=0)
  embed = forward.frozen(model)
  want = np.asarray(embed(params, batch, tables).image)
  other = batch.replace(patches=batch.patches.at[0, 0].set(255))
  changed = np.abs(np.asarray(embed(params, other, tables).image) - want).max(-1) > 1e-3
  assert changed.tolist() == [[True] + [False] * 5, [False] * 6]


def test_finetuning_asks_the_encoder_which_blocks_are_its_last():
  config = dataclasses.replace(CONFIG, gene_encoder="keywords")
  scope = trainable.Scope(encoders.of(config), last_blocks=1)
  assert trainable.last_blocks("image/second/kernel", scope)
  assert not trainable.last_blocks("image/first/kernel", scope)
  assert trainable.last_blocks("gene/transformer/block_0/mlp/up/kernel", scope)
  assert not trainable.last_blocks("project_image/kernel", scope)
  trainable.check("last_blocks", config, 1)


def test_an_encoder_without_blocks_has_no_last_ones_to_train():
  with pytest.raises(BadInputError, match="last_blocks"):
    trainable.check("last_blocks", CONFIG, 1)


@pytest.mark.parametrize("modality", ["image", "gene"])
def test_an_unknown_encoder_is_answered_with_those_that_exist(modality, data):
  config = dataclasses.replace(CONFIG, **{f"{modality}_encoder": "resnet"})
  with pytest.raises(BadInputError, match=f"{modality}_encoder: found resnet, expected one of"):
    encoders.of(config)
