"""C10 and C13: what a run spends beside its steps: starting, and keeping what it has learned.

python -m experiments.benchmarks.runs
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from experiments.benchmarks import side_by_side
from experiments.benchmarks.side_by_side import Case, Pair
from hibio.configs import TrainingConfig

CACHE = "JAX_COMPILATION_CACHE_DIR"


def _starts(quick: bool) -> Pair:
  """A process that compiles a step and takes it, with and without what an earlier one compiled."""
  folder = tempfile.TemporaryDirectory()

  def start(cache: str) -> int:
    preset = "test" if quick else "default"
    command = ["step", f"--config=experiments/hibio.py:{preset}", "--steps=1"]
    return _python("experiments.benchmarks", command, {CACHE: cache})

  start(folder.name)  # what the warm ones find

  def cold() -> int:
    with tempfile.TemporaryDirectory() as empty:
      return start(empty)

  return lambda: start(folder.name), cold


def _kept(quick: bool) -> Pair:
  """Seconds of a step with its share of a checkpoint and of the lines of metrics, and without."""
  with tempfile.TemporaryDirectory() as folder:
    steps = 12 if quick else 40
    settings = [f"--config=experiments/hibio.py{':test' * quick}", f"--config.workdir={folder}/run"]
    settings += [f"--config.training.num_steps={steps}", "--config.synthetic.preset=tiny"]
    _python("experiments", ["pretrain", *settings], {})
    run = Path(folder) / "run"
    seconds = json.loads((run / "run.json").read_text())["history"][0]["seconds"]
  alone = (seconds["data"] + seconds["step"]) / steps
  # The one checkpoint was waited for; as often as a run saves, that is one in so many steps.
  kept = seconds["checkpoint"] / TrainingConfig.checkpoint_every + seconds["other"] / steps
  return lambda: alone + kept, lambda: alone


def _python(package: str, command: Sequence[str], environment: dict[str, str]) -> int:
  script, *flags = command
  done = subprocess.run(
    [sys.executable, "-m", f"{package}.{script}", *flags],
    env={**os.environ, **environment}, capture_output=True, text=True, check=False,
  )  # fmt: skip
  if done.returncode:
    raise RuntimeError(done.stderr[-2000:])
  return done.returncode


CASES = (
  Case(
    "C10 start to the first step, compiled before", "the same with an empty cache", goal=2.2,
    of=_starts, rounds=3, clock=side_by_side.wall,
  ),
  Case(
    "C13 a step with checkpoints and metrics", "the step alone", goal=0.98, of=_kept, clock=None,
  ),
)  # fmt: skip

if __name__ == "__main__":
  side_by_side.run(__doc__, CASES)
