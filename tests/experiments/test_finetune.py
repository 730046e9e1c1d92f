"""The command: config and command in one file, a checkpoint of the shared run, and results."""

import json
import math

import pytest

from experiments import finetuning
from hibio import pretrained
from hibio.training.metrics import read as read_metrics
from tests.experiments.conftest import call, run


@pytest.fixture(scope="module")
def finetuned(workdir):
  """A finished run of the "test" variant from the shared checkpoint, and what it printed."""
  path = workdir.parent / "finetuned"
  done = run(
    "experiments.finetune", "--config=experiments/finetuning.py:test", f"--checkpoint={workdir}",
    f"--config.workdir={path}",
  )  # fmt: skip
  assert done.returncode == 0, done.stderr[-2000:]
  return path, done


def test_it_trains_looks_at_held_out_donors_and_says_how_to_go_on(finetuned):
  path, done = finetuned
  lines = read_metrics(path)
  assert [line["step"] for line in lines] == [1, 2, 3, 4]
  assert [line["step"] for line in lines if "held_out/loss/expression_mse" in line] == [2, 4]
  assert f"experiments.evaluate --checkpoint={path}" in done.stdout
  assert (path / "finetuning.md").read_text() in done.stdout


def test_the_test_donors_are_scored_before_and_after_beside_a_baseline_and_chance(finetuned):
  results = json.loads((finetuned[0] / "finetuning.json").read_text())
  rows = [row for row in results["rows"] if row["metric"] == "pearson_in_section"]
  protocols = {row["protocol"].partition(",")[0] for row in rows if row["method"] == "source/image"}
  assert {"readout", "ridge_cv"} <= protocols
  assert {"finetuned/image", "source/image", "colour/image"} <= {row["method"] for row in rows}
  for row in rows:
    assert math.isfinite(row["value"])
    assert row["chance"] == 0
    assert row["n"] > 50
  assert results["source"]["step"] == 12
  assert results["leaks"] == []


def test_the_result_is_a_checkpoint_like_any_other(finetuned, workdir):
  source, model = pretrained.load(workdir), pretrained.load(finetuned[0])
  assert list(model.heads) == ["expression_mse"]
  assert sorted(model.train_donors) == sorted(source.train_donors)
  assert model.model == source.model
  assert model.panel_hash == source.panel_hash
  assert set(model.params) == set(source.params)


def test_every_variant_has_its_own_work_directory_and_an_unknown_one_is_refused():
  configs = {name: finetuning.get_config(name) for name in finetuning.VARIANTS}
  assert configs[""] == configs["expression"]
  assert len({config.workdir for config in configs.values()}) == len(configs) - 1
  assert {name: config.finetuning.task for name, config in configs.items()} == {
    "": "expression_mse", "expression": "expression_mse", "test": "expression_mse",
    "annotation": "annotation", "continue": "continue",
  }  # fmt: skip
  with pytest.raises(ValueError, match="unknown variant 'anotation'"):
    finetuning.get_config("anotation")


def test_a_misspelt_key_is_one_line(workdir, tmp_path):
  done = call(
    "experiments.finetune", "--config=experiments/finetuning.py:test", f"--checkpoint={workdir}",
    f"--config.workdir={tmp_path / 'run'}", "--config.finetuning.trainble=full",
  )  # fmt: skip
  assert done.returncode == 3
  assert "'trainable'" in done.stderr
  assert len(done.stderr.strip().splitlines()) == 1
  assert not (tmp_path / "run").exists()
