"""The whole command on tiny tissue with donors held out in turn, and run again."""

import json

import pytest
from PIL import Image

from tests.experiments.conftest import run

FOLDS = ("D1", "D3")


def _arguments(workdir, output, *more):
  return (
    "experiments.ablate", "--config=experiments/hibio.py:test", "--presets=default",
    "--seeds=1", f"--corpus={workdir.parent / 'synthetic-tiny' / 'corpus'}", f"--output={output}",
    "--tasks=retrieval", "--config.training.num_steps=2", *more,
  )  # fmt: skip


@pytest.fixture(scope="module")
def held_out(workdir, tmp_path_factory):
  """Two donors held out in turn, of which neither is the one that the corpus was prepared for."""
  output = tmp_path_factory.mktemp("folds")
  return output, run(*_arguments(workdir, output, "--hold_out=donor:D1,D3", "--jobs=2"))


@pytest.mark.slow
def test_every_fold_is_scored_by_a_run_that_did_not_see_it_and_the_answers_are_one(held_out):
  output, done = held_out
  assert done.returncode == 0, done.stderr[-2000:]
  for fold in FOLDS:
    folder = output / "runs" / "default" / "seed0" / f"fold-{fold}"
    assert json.loads((folder / "run.json").read_text())["corpus"]["splits"]["test"] == [fold]
    rows = json.loads((folder / "scores.json").read_text())["tasks"]["retrieval"]
    assert {row["split"] for row in rows} == {f"donors {fold}"}
    assert (output / f"baselines-{fold}.json").is_file()
  found = json.loads((output / "ablation.json").read_text())
  cell = found["presets"]["default"]["image to gene"]
  assert cell["num_units"] == 2
  assert cell["over_sections"]["num_units"] == cell["over_donors"]["num_units"] == 2
  assert found["baselines"]["untrained"]["image to gene"]["num_units"] == 2
  assert "Fewer than 3 donors were scored" in (output / "ablation.md").read_text()


@pytest.mark.slow
def test_what_is_finished_is_not_done_again(held_out, workdir):
  output, _ = held_out
  before = {path: path.stat().st_mtime_ns for path in (output / "runs").rglob("*.json")}
  again = run(*_arguments(workdir, output, "--hold_out=donor:D1,D3"))
  assert again.returncode == 0, again.stderr[-2000:]
  assert {path: path.stat().st_mtime_ns for path in (output / "runs").rglob("*.json")} == before


@pytest.mark.slow
def test_a_learning_curve_is_drawn_over_the_number_of_training_sections(workdir, tmp_path):
  done = run(*_arguments(workdir, tmp_path, "--train_sections=1,2"))
  assert done.returncode == 0, done.stderr[-2000:]
  found = json.loads((tmp_path / "ablation.json").read_text())["presets"]
  assert list(found) == ["default, 1 training section", "default, 2 training sections"]
  one = tmp_path / "runs" / "default" / "seed0" / "sections-1"
  splits = json.loads((one / "run.json").read_text())["corpus"]["splits"]
  assert [len(splits[name]) for name in ("train", "test", "unused")] == [1, 1, 1]
  with Image.open(tmp_path / "learning_curve.png") as image:
    assert min(image.size) > 100
