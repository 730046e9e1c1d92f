"""An objective from outside the package trains like those within, and all examples run."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from data_pipelines.genes import GenePanel
from data_pipelines.problems import BadInputError
from experiments import hibio as experiment
from hibio import config_trees, configs, forward, objectives
from hibio.model import HiBio
from hibio.objectives.base import Objective, Values, added, mean
from hibio.objectives.inputs import Inputs
from tests.hibio.fake import fake, fake_outputs
from tests.hibio.training import toy

GENES = 24
PANEL = GenePanel(tuple(f"g{n}" for n in range(GENES)), tuple(f"S{n}" for n in range(GENES)))


def same_side(image, gene):
  """How far the two embeddings of a spot are apart; guessing gives 2."""
  apart = ((image.embedding - gene.embedding) ** 2).sum(-1)
  return [Values(apart, image.real & gene.real, jnp.full_like(apart, 2.0))]


@pytest.fixture(scope="module")
def inputs():
  batch, tables = fake(windows=2, spots=4, genes=GENES, pathways=1)
  return Inputs(fake_outputs(batch, pathways=1), batch, tables, configs.ObjectiveConfig())


@pytest.fixture
def registered(monkeypatch):
  added = Objective("toy", stage="spot", weight=2.0, function=same_side)
  monkeypatch.setitem(objectives.OBJECTIVES, "toy", added)


def test_an_objective_from_outside_gets_a_stage_a_weight_and_a_line_in_the_metrics(
  registered, tmp_path
):
  config = experiment.get_config("test")
  assert config.objectives.weights.toy == 2.0
  assert "toy" in config.training.stages[0]["objectives"]
  config.training.stages = ({"name": "one", "share": 1.0, "objectives": ("toy",)},)
  config.objectives.weights.toy = 0.5
  config.training.update(num_steps=2, windows_per_batch=4, evaluate_every=0)
  config.training.mesh = (1, 1, 1)
  config.model.update(patch_px=8, token_px=4, image_stem="pieces", gene_profile=False)
  config.model.context.radius_um = 0.0  # compiles in half the time
  training = config_trees.from_dict(configs.TrainingConfig, config.training.to_dict())
  model_config = config_trees.from_dict(configs.ModelConfig, config.model.to_dict())
  objective_config = config_trees.from_dict(configs.ObjectiveConfig, config.objectives.to_dict())
  batch, tables = fake(windows=4, spots=8, genes=GENES, pathways=1, patch_px=8)
  model = HiBio(model_config, GENES)
  toy.train(
    tmp_path,
    init=lambda: forward.initial_params(model, batch, tables, seed=0),
    forward=forward.for_training(model, training.augmentation),
    total=forward.loss(objective_config, shuffle_pairs=False, asked=("toy",)),
    batches=lambda step: iter([batch] * (2 - step)),
    tables=tables,
    training=training,
    model=model_config,
    objectives=objective_config,
    panel=PANEL,
    corpus={**toy.CORPUS, "panel": {"hash": PANEL.hash}},
  )
  first, last = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
  assert last["weight/toy"] == 0.5
  assert last["chance/toy"] == 2.0
  assert 0 < last["loss/toy"] < first["loss/toy"]
  np.testing.assert_allclose(last["loss"], 0.5 * last["loss/toy"], rtol=1e-5)


def test_an_objective_of_a_stage_that_does_not_exist_is_refused_by_name(monkeypatch):
  lost = Objective("lost", stage="spots", weight=1.0, function=same_side)
  monkeypatch.setitem(objectives.OBJECTIVES, "lost", lost)
  with pytest.raises(BadInputError, match="'lost': found 'spots', expected one of spot, pathway"):
    objectives.stages()


def test_an_objective_is_handed_what_its_parameters_name_and_nothing_else():
  found = {name: objective.needs for name, objective in objectives.OBJECTIVES.items()}
  assert found["separation"] == ("anchors",)
  assert objectives.needing("regions") == {"region", "spot_to_region", "hierarchy", "smoothness"}


def test_values_of_several_views_are_averaged_unless_an_objective_adds_them_up(inputs):
  def views():
    two = jnp.array([1.0, 5.0])
    return [Values(two, jnp.array([True, True]), two), Values(two, jnp.array([True, False]), two)]

  for combine, want in ((mean, 2.0), (added, 4.0)):
    one = Objective("one", stage="spot", weight=1.0, function=views, combine=combine)
    assert [float(value) for value in one.evaluate(inputs)] == [want, want, 3.0]


def test_a_view_without_an_item_does_not_halve_the_others(inputs):
  def views():
    two = jnp.array([1.0, 5.0])
    return [Values(two, jnp.array([False, False])), Values(two, jnp.array([True, True]))]

  found = Objective("one", stage="spot", weight=1.0, function=views).evaluate(inputs)
  assert (float(found.loss), float(found.items)) == (3.0, 2.0)


def test_an_objective_without_a_view_is_zero_and_knows_no_chance(inputs):
  nothing = Objective("nothing", stage="spot", weight=1.0, function=lambda: [])
  assert nothing.evaluate(inputs) == (0.0, None, 0.0)
