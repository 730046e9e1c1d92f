"""Windows that cannot be read: named, and left out up to a limit that the user sets."""

from __future__ import annotations

import threading

from data_pipelines.console import say
from data_pipelines.problems import BadInputError


class Quarantine:
  """What is known to be bad of a corpus; a window is left out wherever it would come.

  Args:
    limit: windows that may be left out.
  """

  def __init__(self, limit: int):
    self._limit = limit
    self._windows: set[tuple[int, int]] = set()
    self._turn = threading.Lock()  # batches are read by several threads

  def leave_out(self, section: int, window: int, problem: BadInputError) -> None:
    """Says so the first time.

    Raises:
      BadInputError: the problem itself, where one more would be too many.
    """
    with self._turn:
      if (section, window) in self._windows:
        return
      if len(self._windows) >= self._limit:
        raise problem
      self._windows.add((section, window))
      left = self._limit - len(self._windows)
    say(f"hibio: warning: a window is left out ({left} more may be): {problem}")
