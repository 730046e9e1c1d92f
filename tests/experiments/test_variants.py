"""Every variant of the main config is one that training accepts."""

import pytest

from experiments import hibio as experiment
from hibio import configs
from hibio.training import stages


@pytest.mark.parametrize("name", experiment.VARIANTS)
def test_every_stage_of_a_variant_names_objectives_that_have_a_weight(name):
  config = experiment.get_config(name)
  objectives = configs.from_dict(configs.ObjectiveConfig, config.objectives.to_dict())
  training = configs.from_dict(configs.TrainingConfig, config.training.to_dict())
  weights = dict(objectives.weights)
  assert {one for stage in training.stages for one in stage.objectives} <= set(weights)
  last = stages.objective_weights(training.num_steps - 1, training, weights)
  assert float(last["spot"]) == weights["spot"]


def test_prototypes_need_no_regions_drawn_between_steps():
  config = experiment.get_config("prototypes")
  training = configs.from_dict(configs.TrainingConfig, config.training.to_dict())
  assert stages.refresh_steps(training) == ()
  usual = configs.from_dict(configs.TrainingConfig, experiment.get_config().training.to_dict())
  assert stages.refresh_steps(usual) != ()
  last = [stage for stage in training.stages if "region_prototypes" in stage.objectives]
  assert [stage.name for stage in last] == ["region"]
  assert not {"region", "spot_to_region", "hierarchy"} & set(last[0].objectives)
