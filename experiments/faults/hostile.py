"""Files made to harm: the tests that read them, run here for the table."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Iterator

from data_pipelines.entry import ROOT
from experiments.faults.row import Attempt, Skip, must, single
from experiments.faults.setting import Setting

_NAMED = ("hostile", "safety", "security", "bomb")


def rows(_: Setting) -> Iterator[Attempt]:
  tests = ROOT / "tests"
  found = sorted(p for p in tests.rglob("test_*.py") if any(word in p.stem for word in _NAMED))
  for path in found:
    name = str(path.relative_to(ROOT))
    yield single("hostile input", name, functools.partial(_passes, name))
  if not found:
    yield single("hostile input", "tests", _none)


def _passes(name: str) -> None:
  done = subprocess.run(
    [sys.executable, "-m", "pytest", "-q", "-n0", name],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  must(done.returncode == 0, done.stdout.strip().splitlines()[-1] if done.stdout else done.stderr)


def _none() -> None:
  raise Skip("the tests are not here")
