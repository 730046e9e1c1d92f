"""Runs a command with a fault at one place of it.

  python -m experiments.faults.child FAULT MODULE --flag=value ...

FAULT is PLACE@CALL=WHAT, several separated by commas, or "" for none: before the CALL-th time that
PLACE is called (after it, for PLACE+), WHAT happens.

  experiments.faults.child hibio.training.intact:seal@2=SIGKILL experiments.pretrain --config=...
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import importlib
import os
import re
import runpy
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

HAPPENS = "the fault happens at"
_PR_SET_PDEATHSIG = 1


def main() -> None:
  faults, module, *arguments = sys.argv[1:]
  _end_with_parent()
  for fault in filter(None, faults.split(",")):
    arm(fault)
  sys.argv = [module, *arguments]
  runpy.run_module(module, run_name="__main__", alter_sys=True)


def _end_with_parent() -> None:
  """A harness that is killed leaves nobody behind, on Linux."""
  with contextlib.suppress(AttributeError, OSError):
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def arm(fault: str) -> None:
  """Replaces what the fault names by the same with the fault in it."""
  found = re.fullmatch(r"([\w.]+):([\w.]+)(\+?)@(\d+)=(\w+)", fault)
  module, path, after, call, what = found.groups()
  *owners, name = path.split(".")
  owner = functools.reduce(getattr, owners, importlib.import_module(module))
  setattr(owner, name, _with_fault(getattr(owner, name), int(call), bool(after), WHAT[what]))


def _with_fault(
  function: Callable, call: int, after: bool, happens: Callable[[tuple], Any]
) -> Callable:
  calls = iter(range(1, sys.maxsize))

  @functools.wraps(function)
  def wrapped(*args, **kwargs):
    now = next(calls) == call
    if now and not after:
      args = happens(args) or args
    result = function(*args, **kwargs)
    if now and after:
      happens(args)
    return result

  return wrapped


def _signalled(number: int, times: int = 1) -> Callable[[tuple], None]:
  def happens(_: tuple) -> None:
    os.write(2, f"\n{HAPPENS} {time.time()}\n".encode())
    for _ in range(times):
      os.kill(os.getpid(), number)

  return happens


def _signalled_and_busy(_: tuple) -> None:
  """A signal while the main thread is in compiled code, which does not hear of it."""
  threading.Timer(0.5, _signalled(signal.SIGTERM), [()]).start()
  mutex = ctypes.create_string_buffer(128)
  lock = ctypes.CDLL(None).pthread_mutex_lock
  lock(mutex)
  lock(mutex)  # for ever


def _no_space(_: tuple) -> None:
  raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _waits(_: tuple) -> None:
  time.sleep(3600)


def _not_finite(args: tuple) -> tuple:
  """The first argument, a batch, with positions that are no numbers."""
  batch, *rest = args
  return (batch.replace(positions_um=batch.positions_um * float("nan")), *rest)


WHAT: dict[str, Callable[[tuple], Any]] = {
  "SIGKILL": _signalled(signal.SIGKILL),
  "SIGTERM": _signalled(signal.SIGTERM),
  "SIGINT": _signalled(signal.SIGINT),
  "SIGTERM_TWICE": _signalled(signal.SIGTERM, 2),
  "SIGTERM_BUSY": _signalled_and_busy,
  "ENOSPC": _no_space,
  "HANG": _waits,
  "NAN": _not_finite,
}
"""What can happen."""


if __name__ == "__main__":
  main()
