"""How much processor time `make demo` takes in all: tissue, pretraining and evaluation.

  python -m experiments.benchmarks.demo

Minutes. Only processor time is counted: other work on the machine makes it a little larger.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from experiments.benchmarks import side_by_side
from experiments.benchmarks.side_by_side import Case, Pair

BUDGET_S = 600.0


def _demo(quick: bool) -> Pair:
  with tempfile.TemporaryDirectory() as folder:
    run, begun = Path(folder) / "run", _children()
    preset, tissue = ("test", "tiny") if quick else ("default", "medium")
    corpus = Path(folder) / f"synthetic-{tissue}" / "corpus"
    where = f"--config=experiments/hibio.py:{preset}", f"--config.workdir={run}"
    _call("experiments.pretrain", *where)
    _call("experiments.evaluate", f"--checkpoint={run}", f"--corpus={corpus}", f"--output={run}/e")
    seconds = _children() - begun
  return lambda: seconds, lambda: BUDGET_S


def _call(*command: str) -> None:
  subprocess.run([sys.executable, "-m", *command], check=True, stdout=subprocess.DEVNULL)


def _children() -> float:
  return sum(os.times()[2:4])


CASES = (
  Case("demo, all of it", "what it may take", 1.0, _demo, clock=None, unit="s of processor time"),
)

if __name__ == "__main__":
  side_by_side.run(__doc__, CASES)
