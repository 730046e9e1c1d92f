"""How a run ends before its last step: asked to by a signal, or because it cannot go on.

Either way it says so in one line and with an exit status that a scheduler can read.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType

import jax
import numpy as np
from jax.experimental import multihost_utils

BUSY = 73
"""Another run holds the work directory."""
CANNOT_SAVE = 74
"""Checkpoints failed several times in a row."""
INTERRUPTED = 75
"""Asked to stop, and saved; the same command resumes."""
NOT_FINITE = 76
"""Too many steps gave a loss or a gradient that is not finite."""
GONE = 77
"""Another process of the run was killed; the same commands resume."""
TOGETHER = (CANNOT_SAVE, INTERRUPTED, NOT_FINITE)
"""Those that all processes of a run come to at the same step."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class RunStopped(SystemExit):
  """Ends the program with status `code` unless somebody catches it; `message` says why."""

  def __init__(self, code: int, message: str):
    super().__init__(code)
    self.message = message

  def __str__(self) -> str:
    return self.message


class Interruption:
  """While entered, the first signal asks for a stop, the second is noted, the third ends at once.

  What was committed before stays whole whichever comes. Outside the main thread, where handlers
  cannot be set, it never asks.
  """

  def __init__(self) -> None:
    self._count = 0
    self._name = ""
    self._before: dict = {}

  def __enter__(self) -> Interruption:
    if threading.current_thread() is threading.main_thread():
      self._before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
    return self

  def __exit__(self, *_) -> None:
    for number, handler in self._before.items():
      signal.signal(number, handler)

  @property
  def name(self) -> str:
    """The first signal's name; empty as long as there was none."""
    return self._name

  def asked(self, *, agree: bool) -> bool:
    """Whether to stop now. Several processes stop at the same step.

    Args:
      agree: whether this step is one at which processes ask each other, the same for all of them;
        alone, a process need not ask.
    """
    if jax.process_count() == 1:
      return self._count > 0
    return agree and bool(multihost_utils.process_allgather(np.array([self._count > 0])).any())

  def _handle(self, number: int, _: FrameType | None) -> None:
    self._count += 1
    if self._count == 1:
      self._name = signal.Signals(number).name
      _say(f"hibio: {self._name}: stopping after this step, then saving")
    elif self._count == 2:
      _say("hibio: still saving; once more ends at once and keeps the checkpoint before")
    else:
      os._exit(128 + number)


def _say(line: str) -> None:
  # Not print: a handler may run in the middle of one.
  os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"{line}\n".encode())
