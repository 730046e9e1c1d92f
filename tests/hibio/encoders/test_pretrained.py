"""Training begins with a network's weights, and leaves alone what it is not to train."""

import dataclasses
import json
from pathlib import Path
from unittest import mock

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipelines.loading.corpus import Corpus
from data_pipelines.problems import BadInputError
from hibio import configs, forward, objectives, parameters, pretraining
from hibio.configs import PretrainedConfig
from hibio.encoders import catalogue, efficientnet, pretrained, vit_from_torch
from hibio.encoders.pretrained_vit import PretrainedViT
from hibio.encoders.sources import Hub
from hibio.evaluation import methods
from hibio.finetuning import trainable
from hibio.finetuning.config import FinetuningConfig
from hibio.model import HiBio
from hibio.pairwise import mean_within
from hibio.pretrained import Pretrained
from hibio.training import checkpoints
from tests.hibio.encoders.parity.derive import drawn
from tests.hibio.encoders.test_parity import HERE, MLP
from tests.hibio.fake import SMALL, TRAINING, fake, flat, moved

GENES = 24
CONFIG = dataclasses.replace(
  SMALL,
  patch_px=32,
  token_px=8,
  image_encoder=pretrained.NAME,
  pretrained=PretrainedConfig("small"),
)


class Here(Hub):
  """A repository of which a copy is there."""

  def find(self) -> Path:
    return Path("small.bin")


@pytest.fixture(autouse=True)
def small(monkeypatch):
  """A small vision transformer in the catalogue, and the tensors of its file."""
  shapes = json.loads((HERE / "plain.json").read_text())["shapes"]
  tensors = {name: drawn(name, tuple(shape)) for name, shape in shapes.items()}
  module = PretrainedViT(**MLP)
  entry = dataclasses.replace(
    catalogue.CATALOGUE["uni"],
    name="small",
    module=module,
    views=((56.0, 32),),
    blocks=(("class token", 16),),
    convert=lambda tensors: vit_from_torch.from_torch(tensors, module),
    source=Here("nobody/small"),
  )
  monkeypatch.setitem(catalogue.CATALOGUE, "small", entry)
  monkeypatch.setattr(catalogue.files, "read", lambda path: tensors)
  return catalogue.load("small")


@pytest.fixture(scope="module")
def data():
  return jax.tree.map(jnp.asarray, fake(windows=2, spots=6, genes=GENES, pathways=2))


def _with_blocks(trained_blocks: int, adapter_rank: int = 0) -> configs.ModelConfig:
  trained = PretrainedConfig("small", trained_blocks, adapter_rank)
  return dataclasses.replace(CONFIG, pretrained=trained)


def _begun(config, data, weights):
  params = forward.initial_params(HiBio(config, GENES), *data, seed=0)
  return pretrained.begun(params, weights, seed=0)


def test_the_image_tower_begins_as_the_network_it_is_named_after(data, small):
  config = dataclasses.replace(CONFIG, context=configs.ContextConfig(radius_um=150.0))
  params = _begun(config, data, small)
  encoder = pretrained.PretrainedNetwork(config)
  got = jax.jit(encoder.apply)({"params": params["image"]}, data[0])
  vectors = small((np.asarray(data[0].patches).reshape(12, 32, 32, 3),)).reshape(2, 6, 16)
  known = data[0].spot_mask & data[0].has_patch
  vectors = pretrained.standardised(jnp.asarray(vectors), known)
  around = mean_within(vectors, data[0].positions_um, known, radius_um=150.0)
  hidden, both = params["image"]["hidden"], jnp.concatenate([vectors, around], -1)
  want = nn.gelu(both @ hidden["kernel"] + hidden["bias"][None, None])
  np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)


def test_what_a_network_says_is_standardised_over_the_spots_of_the_window_that_have_an_image():
  vectors = np.random.default_rng(0).normal(3, 5, (2, 6, 4)).astype(np.float32)
  vectors[..., 3] = 7.0  # the same everywhere: says nothing
  known = np.arange(6)[None] < np.array([[6], [4]])
  found = np.asarray(pretrained.standardised(jnp.asarray(vectors), jnp.asarray(known)))
  for window, there in zip(found, known, strict=True):
    np.testing.assert_allclose(window[there].mean(0), 0.0, atol=1e-5)
    np.testing.assert_allclose(window[there].std(0), [1, 1, 1, 0], atol=1e-3)
    assert not window[~there].any()


@pytest.mark.parametrize(("blocks", "share"), [(0, 0.0), (-1, 1.0)])
def test_none_or_all_of_the_network_may_be_trained(small, blocks, share):
  trained = trainable.in_pretraining(_with_blocks(blocks))
  parts = trained({"image": {"network": small.params}, "gene_bias": np.zeros(3)})
  assert parts["gene_bias"] is True
  assert np.mean(jax.tree.leaves(parts["image"])) == share


def test_what_is_not_trained_keeps_every_bit_and_adapters_begin_as_nothing(data, small):
  config = _with_blocks(1, adapter_rank=2)
  params = _begun(config, data, small)
  encoder, plain = pretrained.PretrainedNetwork(config), pretrained.PretrainedNetwork(CONFIG)
  without = {name: of for name, of in params["image"].items() if name != "adapters"}
  np.testing.assert_array_equal(
    jax.jit(encoder.apply)({"params": params["image"]}, data[0]),
    jax.jit(plain.apply)({"params": without}, data[0]),
  )
  adapters = {path for path in flat(params) if path.startswith("image/adapters/")}
  assert len(adapters) == 2 * 2 * 4  # "a" and "b" of two blocks' four matrices
  trained = trainable.in_pretraining(config)
  changed = moved(HiBio(config, GENES), params, data, trained, steps=2)
  assert {"project_image/kernel", *adapters} <= changed
  behind = ("image/network/transformer/block_1/", "image/network/transformer/norm/")
  inside = {path for path in flat(params) if path.startswith("image/network/")}
  assert changed & inside == {path for path in inside if path.startswith(behind)}


def test_adapters_beside_trained_blocks_count_as_lying_in_them():
  encoder = pretrained.PretrainedNetwork(_with_blocks(1, adapter_rank=2))
  assert encoder.in_last_blocks("adapters/transformer/block_1/mlp/up/a", 1)
  assert not encoder.in_last_blocks("adapters/transformer/block_0/mlp/up/a", 1)
  assert encoder.in_last_blocks("hidden/kernel", 1)


def test_the_untrained_twin_is_the_network_with_the_weights_of_that_name(data, small, monkeypatch):
  monkeypatch.setattr(methods.corpora, "first_window", lambda corpus: data[0])
  model = HiBio(_with_blocks(0, adapter_rank=2), GENES)
  trained = methods.Method("hibio", params={}, tables=data[1])
  source = mock.Mock(spec=Pretrained, model=model, seed=0)
  found = methods.untrained(source, trained).params["image"]["network"]
  drawn = catalogue.load("small-untrained").params
  jax.tree.map(np.testing.assert_array_equal, found, drawn)
  assert (found["token"]["kernel"] != small.params["token"]["kernel"]).any()


def test_adapters_find_the_matrices_of_the_network(data, small):
  params, config = _begun(CONFIG, data, small), FinetuningConfig(rank=2)
  adapters = parameters.begin(0, params, config.rank, ("image",))
  block = adapters["image"]["network"]["transformer"]["block_0"]
  assert set(block["attention"]) == {"qkv", "out"}
  assert set(block["mlp"]) == {"up", "down"}
  same = flat(parameters.merged(params, adapters, config.scale))
  for path, leaf in flat(params).items():
    np.testing.assert_array_equal(same[path], leaf)


def test_adapters_find_what_mixes_the_channels_of_an_efficientnet():
  network = efficientnet.EfficientNetLite(0, (2, 3, 4))
  patch = jax.ShapeDtypeStruct((1, 32, 32, 3), np.uint8)
  shapes = jax.eval_shape(network.init, jax.random.key(0), patch)["params"]
  adapters = parameters.begin(0, shapes, rank=2)
  assert {*adapters} == {*shapes} - {"stem"}
  assert {*adapters["stage_2_block_0"]} == {"expand", "project"}


def test_blocks_of_an_efficientnet_are_counted_from_the_end():
  network = efficientnet.EfficientNetLite(0, (2, 3, 4))
  assert network.num_blocks == 11
  assert network.in_last_blocks("stage_4_block_2/project/kernel", 1)
  assert not network.in_last_blocks("stage_4_block_1/project/kernel", 1)
  assert not network.in_last_blocks("stem/kernel", 11)


def test_a_config_that_does_not_fit_the_network_is_refused(data):
  def refused(config, says):
    with pytest.raises(BadInputError, match=says):
      forward.initial_params(HiBio(config, GENES), *data, seed=0)

  refused(_with_blocks(0, -1), "adapter_rank: found -1")
  refused(_with_blocks(3), "trained_blocks: found 3, expected -1, or 0 to 2")
  refused(dataclasses.replace(CONFIG, pretrained=PretrainedConfig("uni")), "224, as uni reads")
  refused(dataclasses.replace(CONFIG, pretrained=PretrainedConfig("none")), "one of efficientnet")


@pytest.mark.slow
def test_pretraining_begins_with_the_weights_and_the_checkpoint_says_whose(
  workdir, tmp_path, small
):
  corpus = Corpus.open(workdir.parent / "synthetic-tiny" / "corpus")
  training = dataclasses.replace(
    TRAINING, num_steps=2, windows_per_batch=4, log_every=1, evaluate_every=0, checkpoint_every=2
  )
  weights = configs.ObjectiveConfig(weights=tuple(objectives.weights().items()))
  result = pretraining.pretrain(corpus, tmp_path / "run", CONFIG, weights, training)
  after = flat(jax.device_get(result.params["image"]["network"]))
  for path, leaf in flat(jax.device_get(small.params)).items():
    np.testing.assert_array_equal(after[path], leaf)
  _, meta = checkpoints.read_params(tmp_path / "run")
  assert meta["config"]["pretrained"] == json.loads(json.dumps(small.about))
