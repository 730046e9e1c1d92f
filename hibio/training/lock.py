"""One run a work directory: two would overwrite each other's checkpoints without a word."""

from __future__ import annotations

import contextlib
import datetime
import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from data_pipelines import console
from data_pipelines.problems import BadInputError
from hibio.training.stopping import BUSY, RunStopped

NAME = "lock"
SILENCE_SECONDS = 600
"""A run on another host that has not touched its lock for so long is taken to be dead."""

_MOMENT = 0.2
"""Somebody who only looks, see `holder`, has the lock for less than that."""


@contextlib.contextmanager
def held(workdir: Path) -> Iterator[Callable[[], None]]:
  """Holds the work directory; gives a function to call now and then, as a sign of life.

  The kernel drops the lock of a process that died, however it died. Hosts that share a file system
  without sharing its locks are told apart by name and by the age of the last sign of life.

  Raises:
    RunStopped: status 73, with host, pid and start of the run that holds it; the sign of life, too,
      where another run has taken the place of a lock that was deleted.
    BadInputError: something that is no file lies in the lock's place.
  """
  try:
    lock = _Lock(workdir)
  except OSError as error:
    raise BadInputError(
      workdir / NAME, "lock", f"no way to write it ({error.strerror})", "a file, or none",
      "see what lies there, and remove it",
    ) from error  # fmt: skip
  try:
    yield lock.sign_of_life
  finally:
    lock.release()


class _Lock:
  """A file that this process has locked, with its name in it."""

  def __init__(self, workdir: Path):
    self._workdir, self._path, self._warned = workdir, workdir / NAME, False
    self._file = self._taken()

  def sign_of_life(self) -> None:
    """Touches the file, and makes it anew where it was deleted; what fails is said, once."""
    try:
      os.utime(self._file.fileno())
      if not self._is_in_place():
        taken = self._taken()
        self._file.close()
        self._file = taken
        console.say(f"hibio: warning: {self._path} was deleted while the run was on; made anew")
    except OSError as error:
      if not self._warned:
        console.say(f"hibio: warning: {self._path}: no sign of life ({error}); training goes on")
      self._warned = True

  def release(self) -> None:
    """Says that nobody is here; the lock goes with the file."""
    with contextlib.suppress(OSError, ValueError):
      self._file.truncate(0)
    with contextlib.suppress(OSError):
      self._file.close()

  def _taken(self) -> TextIO:
    file = self._path.open("a+", errors="replace")
    if not (free := _is_free(file)):
      time.sleep(_MOMENT)
      free = _is_free(file)
    file.seek(0)
    holder = _parse(file.read())
    elsewhere = holder is not None and holder["host"] != socket.gethostname()
    # Clocks of two hosts may differ, and jump; a negative age is a fresh one.
    if not free or (elsewhere and time.time() - self._path.stat().st_mtime < SILENCE_SECONDS):
      file.close()
      raise RunStopped(BUSY, _busy(self._workdir, holder))
    if holder is not None:
      console.say(f"hibio: {self._path}: took over from {_describe(holder)}, which is gone")
    file.truncate(0)
    file.write(json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "started": _now()}))
    file.flush()
    return file

  def _is_in_place(self) -> bool:
    try:
      return os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
    except FileNotFoundError:
      return False


def _is_free(file: TextIO) -> bool:
  """Locks the file if nobody else has; on a disk without locks nobody is known to."""
  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except OSError as error:
    return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
  return True


def holder(workdir: Path) -> str:
  """Who trains in a work directory now, in words; empty if nobody does."""
  path = workdir / NAME
  try:
    with path.open(errors="replace") as file:
      try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        free = True
      except OSError:
        free = False
      found = _parse(file.read())
      fresh = time.time() - path.stat().st_mtime < SILENCE_SECONDS
  except OSError:
    return ""
  elsewhere = found is not None and found["host"] != socket.gethostname() and fresh
  return _describe(found) if found and (elsewhere or not free) else ""


def _parse(text: str) -> dict | None:
  try:
    holder = json.loads(text)
    return holder if {"host", "pid", "started"} <= holder.keys() else None
  except (ValueError, AttributeError, RecursionError):
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
