"""One tiny run from nothing to a checkpoint, shared by every test that needs one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from data_pipelines.loading.corpus import Corpus
from hibio import pretrained
from hibio.evaluation import suite

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess:
  """`python -m ...` as a user runs it, in a process of its own, on one device."""
  environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
  return subprocess.run(
    [sys.executable, "-m", *arguments],
    cwd=cwd,
    env=environment,
    capture_output=True,
    text=True,
    timeout=400,
    check=False,
  )


@pytest.fixture(scope="session")
def workdir(tmp_path_factory) -> Path:
  """A finished run of the "test" variant; its corpus lies beside it."""
  path = tmp_path_factory.mktemp("pulse") / "run"
  done = run(
    "experiments.pretrain", "--config=experiments/hibio.py:test", f"--config.workdir={path}"
  )
  assert done.returncode == 0, done.stderr[-2000:]
  return path


@pytest.fixture(scope="session")
def evaluation(workdir) -> suite.Evaluation:
  """That run, evaluated by every task on its own corpus; shared like the run itself."""
  corpus = Corpus.open(workdir.parent / "synthetic-tiny" / "corpus")
  return suite.evaluate(pretrained.load(workdir), corpus, suite.Options(label="leaf"))
