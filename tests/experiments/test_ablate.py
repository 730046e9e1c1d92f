"""The whole command on tiny tissue: stopped, run again, with one run that cannot work."""

import json
import shutil
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image

from hibio.training import metrics
from hibio.training.stopping import INTERRUPTED
from tests.experiments.conftest import ROOT, alone, call, run

BAD = "default:model.keywords.score=nosuch"
TASKS = "retrieval,annotation"


def _arguments(workdir, output, *more):
  return (
    "experiments.ablate", "--config=experiments/hibio.py:test", f"--presets=default,no_tfidf,{BAD}",
    "--seeds=1", f"--corpus={workdir.parent / 'synthetic-tiny' / 'corpus'}", f"--output={output}",
    f"--tasks={TASKS}", *more,
  )  # fmt: skip


@pytest.fixture(scope="module")
def ablation(workdir, tmp_path_factory):
  """An ablation that was stopped while its first run trained, and run again."""
  output = tmp_path_factory.mktemp("ablation")
  first = output / "runs" / "default" / "seed0"
  process = subprocess.Popen(
    [sys.executable, "-m", *_arguments(workdir, output)],
    cwd=ROOT, env=alone(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
  )  # fmt: skip
  end = time.monotonic() + 300
  while not metrics.read(first) and time.monotonic() < end and process.poll() is None:
    time.sleep(0.1)
  process.send_signal(signal.SIGTERM)
  _, said = process.communicate(timeout=120)
  assert process.returncode == INTERRUPTED, said[-2000:]
  assert "Run the same command again" in said
  stopped_at = metrics.read(first)[-1]["step"]
  return output, stopped_at, run(*_arguments(workdir, output, "--jobs=2"))


@pytest.mark.slow
def test_a_stopped_ablation_goes_on_where_its_run_stood(ablation):
  output, stopped_at, _ = ablation
  first = output / "runs" / "default" / "seed0"
  assert [line["step"] for line in metrics.read(first)] == list(range(1, 13))
  starts = json.loads((first / "run.json").read_text())["history"]
  assert [one["step"] for one in starts] == [0, stopped_at]
  assert not (output / "runs" / "no_tfidf" / "seed0" / "log.txt").read_text().count("going on at")


@pytest.mark.slow
def test_one_run_that_cannot_work_is_told_in_a_line_and_the_others_are_compared(ablation):
  output, _, done = ablation
  assert done.returncode == 3
  assert f"ablate: {BAD}, seed 0: status 3: hibio: config: model.keywords.score" in done.stderr
  assert "Traceback" not in done.stderr
  found = json.loads((output / "ablation.json").read_text())
  assert list(found["failures"]) == [f"{BAD}, seed 0"]
  assert set(found["presets"]) == {"default", "no_tfidf"}
  assert found["differences"]["no_tfidf"]["labels, gene"]["num_seeds"] == 1
  assert {"untrained", "pca", "texture", "raw top-50"} <= set(found["baselines"])
  assert found["changed"]["no_tfidf"] == {
    "model.keywords.score": ["surprisal", "raw"],
    "model.keywords.spatial_power": [1.0, 0.0],
  }
  assert found["seconds_per_step"]["default"] > 0
  text = (output / "ablation.md").read_text()
  assert "With the most expressed genes in place of keyword genes" in text
  with Image.open(output / "ablation.png") as image:
    colours = {colour for _, colour in image.convert("RGB").getcolors(maxcolors=10**6)}
  # One preset against the default: intervals of one seed, blue, vermilion or grey.
  assert colours & {(0, 114, 178), (213, 94, 0), (140, 140, 140)}


@pytest.mark.slow
def test_what_is_finished_is_not_done_again_and_a_new_task_is_asked_alone(
  ablation, workdir, tmp_path
):
  output = tmp_path / "copy"
  shutil.copytree(ablation[0], output)
  first = output / "runs" / "default" / "seed0"
  log, weights = (first / "log.txt").read_text(), (first / "metrics.jsonl").stat().st_mtime_ns
  arguments = list(_arguments(workdir, output, "--presets=default"))
  more = run(*arguments, f"--tasks={TASKS},keywords")
  assert more.returncode == 0, more.stderr[-2000:]
  said = (first / "log.txt").read_text().removeprefix(log)
  assert "score 2/2 keywords" in said
  assert (first / "metrics.jsonl").stat().st_mtime_ns == weights
  assert (
    "keyword purity" in json.loads((output / "ablation.json").read_text())["presets"]["default"]
  )
  other = run(*arguments, "--config.training.learning_rate=0.5")
  assert other.returncode == 3
  assert "training.learning_rate: found 0.5 asked for" in other.stderr


@pytest.mark.parametrize(
  ("arguments", "status", "says"),
  [
    (("--presets=default,nosuch",), 3, "unknown variant 'nosuch'"),
    (("--presets=default", "--tasks=nosuch"), 3, "--tasks"),
  ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(arguments, status, says, workdir, tmp_path):
  done = call(
    "experiments.ablate", f"--corpus={workdir.parent / 'synthetic-tiny' / 'corpus'}",
    f"--output={tmp_path / 'out'}", *arguments,
  )  # fmt: skip
  assert done.returncode == status, done.stderr
  assert says in done.stderr
  assert len(done.stderr.strip().splitlines()) == 1
  assert not (tmp_path / "out").exists()
