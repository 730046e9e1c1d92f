"""Every variant of the main config is one that training accepts."""

import pytest

from experiments import hibio as experiment
from experiments import presets
from experiments.ablation import tables
from hibio import config_trees, configs
from hibio.training import alarms, stages


@pytest.mark.parametrize("name", list(presets.PRESETS))
def test_every_stage_of_a_variant_names_objectives_that_have_a_weight(name):
  config = experiment.get_config(name)
  objectives = config_trees.from_dict(configs.ObjectiveConfig, config.objectives.to_dict())
  training = config_trees.from_dict(configs.TrainingConfig, config.training.to_dict())
  weights = dict(objectives.weights)
  assert {one for stage in training.stages for one in stage.objectives} <= set(weights)
  last = stages.objective_weights(training.num_steps - 1, training, weights)
  assert float(last["spot"]) == weights["spot"]


def test_a_run_on_frozen_features_looks_at_held_out_pairs_often_enough_for_an_alarm():
  training = experiment.get_config("frozen").training
  first = max(training.stages[0]["share"], alarms.QUIET_SHARE) * training.num_steps
  looks = [
    step for step in range(0, training.num_steps + 1, training.evaluate_every) if step > first
  ]
  assert len(looks) >= alarms.LINES_IN_A_ROW


def objectives_of(variants):
  config = experiment.get_config(variants)
  return [tuple(stage["objectives"]) for stage in config.training.stages]


@pytest.mark.parametrize("variants", ["joint,no_region", "no_region,joint"])
def test_what_is_left_out_stays_out_whatever_the_stages_are(variants):
  assert objectives_of(variants) == [("spot", "reconstruction", *presets.PATHWAY)]


def test_every_preset_that_an_ablation_compares_has_a_phrase_of_its_own():
  sizes = {"test", "tiny_checkpoint", "small", "base", "large", "large_batch", "more_memory"}
  not_compared = {"default", "frozen", "pretrained_tower", "legacy_st", *sizes}
  assert set(tables.PHRASES) == set(presets.PRESETS) - not_compared
