"""Configs explain themselves."""

import dataclasses

import pytest

from experiments import hibio as experiment
from hibio import config_trees, configs
from hibio.finetuning.config import FinetuningConfig

CONFIGS = (
  configs.ModelConfig, configs.ObjectiveConfig, configs.TrainingConfig, FinetuningConfig
)  # fmt: skip


@pytest.mark.parametrize("cls", CONFIGS)
def test_every_key_of_a_config_has_a_meaning_that_fits_beside_its_value(cls):
  described = config_trees.describe(cls)
  for key, (_, meaning) in described.items():
    assert 10 < len(meaning) < 400, key
    assert "\n" not in meaning, key


def test_nested_keys_are_described_with_the_defaults_they_have_there():
  described = config_trees.describe(configs.ModelConfig)
  assert described["keywords.score"][0] == configs.KeywordConfig().score
  assert described["image.depth"][0] is dataclasses.MISSING
  of_tiny = config_trees.describe(configs.ModelConfig(**configs.SIZES["tiny"]))
  assert of_tiny["image.depth"] == (3, described["image.depth"][1])


def test_every_key_of_the_experiment_has_a_meaning():
  config = experiment.get_config("test")
  meanings = experiment.meanings()
  keys = {key for key, _ in _leaves(config.to_dict())}
  unknown = {key for key in keys if not any(key.startswith(known) for known in meanings)}
  assert not unknown
  assert set(meanings) <= keys | {"objectives.weights"}


def _leaves(tree, above=""):
  for key, value in tree.items():
    if isinstance(value, dict):
      yield from _leaves(value, f"{above}{key}.")
    else:
      yield f"{above}{key}", value
