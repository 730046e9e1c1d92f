from pathlib import Path

import pytest

from data_pipelines.problems import BadInputError
from experiments import hibio, presets
from experiments.ablation import plan
from experiments.ablation.folds import Split
from experiments.ablation.plan import Base
from tests.experiments.conftest import ROOT

FILE = str(ROOT / "experiments" / "hibio.py")


def _runs(*wanted, seeds=1, overrides=None, variants="test"):
  base = Base(FILE, variants, overrides or {})
  return plan.runs(base, wanted, seeds, Path("corpus"), Path("out"))


def test_presets_are_applied_in_order_and_leave_the_rest_alone():
  config = hibio.get_config("test,no_tfidf,no_region")
  assert config.model.keywords.score == "raw"
  assert config.model.keywords.num_keywords == 16  # of "test"
  stages = {stage["name"]: stage["objectives"] for stage in config.training.stages}
  assert stages["region"] == ()
  assert stages["pathway"]
  assert hibio.get_config("paper,test").model.keywords.num_keywords == 16


def test_every_preset_but_the_default_changes_something_and_none_the_amount_of_training():
  amount = ("num_steps", "windows_per_batch", "sections_per_batch", "learning_rate", "seed")
  plain = hibio.get_config()
  sizes = ("test", "tiny_checkpoint", "small", "base", "large", "large_batch", "frozen")
  for name in presets.PRESETS:
    changed = plan.changes(Base(FILE, "", {}), name)
    assert bool(changed) == (name != "default"), name
    if name not in sizes:
      config = hibio.get_config(name)
      assert all(config.training[key] == plain.training[key] for key in amount), name
      assert sum(stage["share"] for stage in config.training.stages) == pytest.approx(1)


def test_an_unknown_variant_is_named():
  with pytest.raises(ValueError, match="unknown variant 'bse'"):
    hibio.get_config("test,bse")


def test_a_run_has_a_seed_a_folder_and_the_command_that_trains_it():
  runs = _runs("default", "no_tfidf:no_region", seeds=2)
  assert [(run.preset, run.seed) for run in runs] == [
    ("default", 0), ("no_tfidf:no_region", 0), ("default", 1), ("no_tfidf:no_region", 1),
  ]  # fmt: skip
  last = runs[-1]
  assert last.workdir == Path("out/runs/no_tfidf-no_region/seed1")
  assert last.arguments[0] == f"--config={FILE}:test,no_tfidf,no_region"
  assert f"--config.workdir={last.workdir}" in last.arguments
  assert "--config.training.seed=1" in last.arguments
  assert last.config["training"]["seed"] == 1


def test_a_key_beside_a_preset_is_set_and_is_part_of_the_name():
  (run,) = _runs("default:model.keywords.num_keywords=8")
  assert run.config["model"]["keywords"]["num_keywords"] == 8
  assert "--config.model.keywords.num_keywords=8" in run.arguments
  assert run.workdir.parent.name == "default-model.keywords.num_keywords=8"


@pytest.mark.parametrize(
  ("wanted", "overrides", "says"),
  [
    (["no_such"], {}, "unknown variant 'no_such'"),
    (["default:model.keywords.nosuch=3"], {}, "model.keywords.nosuch"),
    (["default:model.keywords.num_keywords=many"], {}, "num_keywords: found 'many'"),
    (["default:training.seed=3"], {}, "training.seed"),
    (["default", "default"], {}, "twice"),
    (["a:b=1", "a-b=1"], {}, "twice"),
    (["no_tfidf"], {"model.keywords.score": "tf_idf"}, "set by preset 'no_tfidf' too"),
    (["default"], {"workdir": "elsewhere"}, "left to the ablation"),
  ],
)
def test_what_cannot_be_planned_is_refused_before_anything_runs(wanted, overrides, says):
  with pytest.raises(BadInputError, match=says):
    _runs(*wanted, overrides=overrides)


def _held_out(seed):
  return [Split("A", "donor", ("A",)), Split("C2", "section", ("C2",), train=("B1", "C3"))]


def test_every_preset_and_seed_is_trained_once_a_fold_in_a_folder_of_its_own():
  base = Base(FILE, "test", {})
  runs = plan.runs(base, ["default", "joint"], 2, Path("corpus"), Path("out"), _held_out)
  assert len({run.name for run in runs}) == len({run.workdir for run in runs}) == 8
  first, second = runs[:2]
  assert first.workdir == Path("out/runs/default/seed0/fold-A")
  assert first.name == "default, seed 0, without A"
  assert "--config.split.test=A" in first.arguments
  assert second.workdir.name == "fold-C2-sections-2"
  assert (second.preset, second.asked) == ("default, 2 training sections", "default")
  assert second.config["split"] == {
    "unit": "section", "train": "B1,C3", "validation": "", "test": "C2",
  }  # fmt: skip
  assert second.arguments[-4:] == (
    "--config.split.unit=section", "--config.split.train=B1,C3", "--config.split.validation=",
    "--config.split.test=C2",
  )  # fmt: skip


def test_without_folds_nothing_is_said_of_splits_and_with_them_they_are_not_to_be_set():
  (run,) = _runs("default")
  assert run.workdir == Path("out/runs/default/seed0")
  assert not any("split" in argument for argument in run.arguments)
  base = Base(FILE, "test", {"split.test": "A"})
  with pytest.raises(BadInputError, match="left to the ablation"):
    plan.runs(base, ["default"], 1, Path("corpus"), Path("out"), _held_out)


def test_keys_of_the_command_line_hold_for_every_run():
  for run in _runs("default", "joint", overrides={"training.num_steps": 7}):
    assert run.config["training"]["num_steps"] == 7
    assert "--config.training.num_steps=7" in run.arguments
