"""One tiny run from nothing to a checkpoint, shared by every test that needs one."""

import contextlib
import io
import os
import runpy
import signal
import subprocess
import sys
import warnings
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


def call(module: str, *arguments: str) -> subprocess.CompletedProcess:
  """`python -m ...` in this process: for commands that end before anything heavy begins."""
  handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
  said, told, status, argv = io.StringIO(), io.StringIO(), 0, sys.argv
  try:
    sys.argv = [module, *arguments]
    with (
      contextlib.redirect_stdout(said),
      contextlib.redirect_stderr(told),
      warnings.catch_warnings(),
    ):
      warnings.simplefilter("ignore")  # the module may be imported already; how configs are loaded
      runpy.run_module(module, run_name="__main__")
  except SystemExit as stopped:
    status = stopped.code or 0
  finally:
    sys.argv = argv
    for number, handler in handlers.items():
      signal.signal(number, handler)
  return subprocess.CompletedProcess(arguments, status, said.getvalue(), told.getvalue())


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
