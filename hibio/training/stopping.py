"""How a run ends before its last step: asked to by a signal, or because it cannot go on.

Either way it says so in one line and with an exit status that a scheduler can read.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils

from data_pipelines.leaving import Signals, Stopped, is_program
from data_pipelines.problems import EXIT_INTERRUPTED, BadInputError, is_out_of_memory
from hibio.configs import TrainingConfig

BUSY = 73
"""Another run holds the work directory."""
CANNOT_SAVE = 74
"""Checkpoints failed several times in a row."""
INTERRUPTED = EXIT_INTERRUPTED
"""Asked to stop, and saved; the same command resumes."""
NOT_FINITE = 76
"""Too many steps gave a loss or a gradient that is not finite."""
GONE = 77
"""Another process of the run was killed; the same commands resume."""
NO_DATA = 78
"""No batch came for minutes; saved, and the same command resumes."""
TOGETHER = (CANNOT_SAVE, INTERRUPTED, NOT_FINITE)
"""Those that all processes of a run come to at the same step."""

_POLL_SECONDS = 0.2


class RunStopped(Stopped):
  """Ends the program with status `code` unless somebody catches it; `message` says why."""


def too_large(error: Exception, config: TrainingConfig) -> BadInputError | None:
  """What to say where a step needs more memory than there is; None of any other error."""
  if not is_out_of_memory(error):
    return None
  return BadInputError(
    "config",
    "training.windows_per_batch",
    f"{config.windows_per_batch}, which memory does not suffice for ({str(error).splitlines()[0]})",
    "a step that fits the device",
    "lower it, raise training.accumulation, or cut the model up with training.mesh; with the first"
    " two give another --config.workdir",
  )


class Interruption(Signals):
  """While entered, the first signal asks for a stop, the second is noted, the third ends at once.

  What was committed before stays whole whichever comes. In a notebook work that lasts is waited
  for: the process is not ours to end.
  """

  def __init__(self) -> None:
    super().__init__(
      lambda: None,
      self.leave if is_program() else lambda: None,
      "stopping after this step, then saving",
      "still saving; once more ends at once and keeps the checkpoint before",
    )
    self._turn = threading.Lock()
    self._leaves: Callable[[], None] | None = None

  def asked(self, *, agree: bool) -> bool:
    """Whether to stop now. Several processes stop at the same step.

    Args:
      agree: whether this step is one at which processes ask each other, the same for all of them;
        alone, a process need not ask.
    """
    if jax.process_count() == 1:
      return bool(self.name)
    return agree and bool(multihost_utils.process_allgather(np.array([bool(self.name)])).any())

  @contextlib.contextmanager
  def lasting(self, leaves: Callable[[], None] | None) -> Iterator[None]:
    """Work that may last, such as compiling, and changes nothing that is saved.

    Args:
      leaves: ends the process; called in another thread if a signal's time is up and this work is
        still going on. None where the end of the work must be waited for.
    """
    with self._turn:
      self._leaves = leaves
    try:
      yield
    finally:
      with self._turn:  # for ever, if this process is about to end
        self._leaves = None

  def leave(self) -> None:
    """Leaves as soon as what is going on allows it."""
    while True:
      with self._turn:
        if self._leaves is not None:
          self._leaves()
      time.sleep(_POLL_SECONDS)


class Patience:
  """Follows how long pieces of work take; `late` is called, in another thread, when one lasts.

  Args:
    seconds: that a piece may take.
    late: called once.
  """

  def __init__(self, seconds: float, late: Callable[[], None]):
    self._seconds, self._late = seconds, late
    self._since: float | None = None
    self._ended = threading.Event()

  def __enter__(self) -> Patience:
    threading.Thread(target=self._watch, daemon=True).start()
    return self

  def __exit__(self, *_) -> None:
    self._ended.set()

  @contextlib.contextmanager
  def piece(self) -> Iterator[None]:
    """One piece of work."""
    self._since = time.monotonic()
    try:
      yield
    finally:
      self._since = None

  def _watch(self) -> None:
    while not self._ended.wait(min(1.0, self._seconds / 4)):
      since = self._since
      if since is not None and time.monotonic() - since > self._seconds:
        self._late()
        return
