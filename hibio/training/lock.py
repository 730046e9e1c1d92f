"""One run a work directory: two would overwrite each other's checkpoints without a word."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from hibio.training.stopping import BUSY, RunStopped

NAME = "lock"
SILENCE_SECONDS = 600
"""A run on another host that has not touched its lock for so long is taken to be dead."""


@contextlib.contextmanager
def held(workdir: Path) -> Iterator[Callable[[], None]]:
  """Holds the work directory; gives a function to call now and then, as a sign of life.

  The kernel drops the lock of a process that died, however it died. Hosts that share a file system
  without sharing its locks are told apart by name and by the age of the last sign of life.

  Raises:
    RunStopped: status 73, with host, pid and start of the run that holds it.
  """
  path = workdir / NAME
  with path.open("a+") as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
      free = True
    except OSError:
      free = False
    file.seek(0)
    holder = _parse(file.read())
    elsewhere = holder is not None and holder["host"] != socket.gethostname()
    # Clocks of two hosts may differ, and jump; a negative age is a fresh one.
    if not free or (elsewhere and time.time() - path.stat().st_mtime < SILENCE_SECONDS):
      raise RunStopped(BUSY, _busy(workdir, holder))
    if holder is not None:
      print(f"hibio: {path}: took over from {_describe(holder)}, which is gone", file=sys.stderr)
    me = {"host": socket.gethostname(), "pid": os.getpid(), "started": _now()}
    file.truncate(0)
    file.write(json.dumps(me))
    file.flush()
    try:
      yield lambda: os.utime(path)
    finally:
      file.truncate(0)


def _parse(text: str) -> dict | None:
  try:
    holder = json.loads(text)
    return holder if {"host", "pid", "started"} <= holder.keys() else None
  except (ValueError, AttributeError):
    return None


def _busy(workdir: Path, holder: dict | None) -> str:
  who = _describe(holder) if holder else "a run that has only just begun"
  return (
    f"hibio: {workdir}: in use by {who}."
    " Fix: wait for it, stop it, or give another --config.workdir."
  )


def _describe(holder: dict) -> str:
  return f"process {holder['pid']} on {holder['host']}, started {holder['started']}"


def _now() -> str:
  return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
