import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipelines.problems import BadInputError
from hibio import objectives
from hibio.configs import Stage, TrainingConfig
from hibio.training import stages

THREE = tuple(
  dataclasses.replace(stage, share=share)
  for stage, share in zip(objectives.stages(), (0.4, 0.3, 0.3), strict=True)
)
CONFIG = TrainingConfig(num_steps=100, windows_per_batch=4, sections_per_batch=2, stages=THREE)
WEIGHTS = dict.fromkeys((name for stage in CONFIG.stages for name in stage.objectives), 2.0)


def _over_all_steps(config) -> dict[str, np.ndarray]:
  weights = jax.jit(jax.vmap(lambda step: stages.objective_weights(step, config, WEIGHTS)))
  return {name: np.asarray(value) for name, value in weights(jnp.arange(100)).items()}


def test_an_objective_has_no_weight_before_its_stage_and_all_of_it_after_the_ramp():
  weights = _over_all_steps(CONFIG)
  assert set(weights["spot"]) == {2.0}
  np.testing.assert_array_equal(weights["pathway"][:40], 0.0)
  np.testing.assert_allclose(weights["pathway"][40:44], [2 / 3, 4 / 3, 2, 2], rtol=1e-6)
  np.testing.assert_array_equal(weights["region"][:70], 0.0)
  assert weights["region"][70] > 0
  np.testing.assert_array_equal(weights["region"][72:], 2.0)


def test_no_weight_ever_goes_back():
  for values in _over_all_steps(CONFIG).values():
    assert (np.diff(values) >= 0).all()


def test_a_traced_step_gives_the_weights_of_a_plain_one():
  plain = [float(stages.objective_weights(step, CONFIG, WEIGHTS)["pathway"]) for step in range(100)]
  np.testing.assert_array_equal(_over_all_steps(CONFIG)["pathway"], np.float32(plain))


def test_the_stage_of_a_step_is_the_last_that_has_begun():
  names = [stages.stage_at(step, CONFIG).name for step in (0, 39, 40, 69, 70, 99)]
  assert names == ["spot", "spot", "pathway", "pathway", "region", "region"]


def test_stages_of_no_length_begin_together_and_whole():
  joint = TrainingConfig(
    num_steps=100,
    windows_per_batch=4,
    sections_per_batch=2,
    stages=(Stage("a", 0.0, ("spot",)), Stage("b", 1.0, ("pathway", "region"))),
  )
  weights = stages.objective_weights(0, joint, WEIGHTS)
  assert [float(weights[name]) for name in ("spot", "pathway", "region")] == [2.0, 2.0, 2.0]
  assert stages.stage_at(0, joint).name == "b"


def test_regions_are_refreshed_only_inside_the_stage_that_reads_them():
  assert stages.refresh_steps(CONFIG) == (80, 90)
  without = TrainingConfig(
    num_steps=100,
    windows_per_batch=4,
    sections_per_batch=2,
    stages=(Stage("spot", 1.0, ("spot",)),),
  )
  assert stages.refresh_steps(without) == ()


def test_shares_that_do_not_add_up_are_refused():
  config = TrainingConfig(
    num_steps=100, windows_per_batch=4, sections_per_batch=2, stages=(Stage("a", 0.7, ()),)
  )
  with pytest.raises(BadInputError, match=r"training\.stages: found shares 0\.7"):
    stages.edges(config)


def test_an_objective_without_a_weight_is_named():
  config = TrainingConfig(
    num_steps=100, windows_per_batch=4, sections_per_batch=2, stages=(Stage("a", 1.0, ("spto",)),)
  )
  with pytest.raises(BadInputError, match="spto"):
    stages.objective_weights(0, config, WEIGHTS)
