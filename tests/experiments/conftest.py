"""Commands as a user runs them: in a process of their own, or in this one."""

import contextlib
import io
import os
import runpy
import signal
import subprocess
import sys
import warnings
from pathlib import Path

from tests.conftest import UNOPTIMISED

ROOT = Path(__file__).resolve().parents[2]


def alone() -> dict[str, str]:
  """The environment of a process of its own, which has one device as a user's."""
  return os.environ | {"XLA_FLAGS": UNOPTIMISED}


def run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess:
  """`python -m ...` as a user runs it, in a process of its own, on one device."""
  return subprocess.run(
    [sys.executable, "-m", *arguments],
    cwd=cwd,
    env=alone(),
    capture_output=True,
    text=True,
    timeout=400,
    check=False,
  )


def call(module: str, *arguments: str) -> subprocess.CompletedProcess:
  """`python -m ...` in this process, which has imported all that it needs."""
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
