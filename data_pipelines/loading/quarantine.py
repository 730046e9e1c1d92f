"""Windows that cannot be read: named, and left out up to a limit that the user sets."""

from __future__ import annotations

import contextlib
import json
import threading
from pathlib import Path

from data_pipelines.console import counted, say
from data_pipelines.files import json_lines
from data_pipelines.problems import BadInputError

NAME = "left_out.jsonl"


class Quarantine:
  """What is known to be bad of a corpus; a window is left out wherever it would come.

  Args:
    limit: windows that may be left out, over all starts of a run.
    folder: of the run, which remembers them, a line each, in `left_out.jsonl`.
  """

  def __init__(self, limit: int, folder: Path):
    self._limit, self._path = limit, folder / NAME
    self._windows = _listed(self._path)
    self._turn = threading.Lock()  # batches are read by several threads
    if number := len(self._windows):
      say(f"hibio: warning: {counted(number, 'windows')} left out by earlier starts: {self._path}")

  def leave_out(self, section_id: str, window: int, problem: BadInputError) -> None:
    """Says so the first time.

    Raises:
      BadInputError: the problem itself, where one more would be too many.
    """
    with self._turn:
      if (section_id, window) in self._windows:
        return
      if len(self._windows) >= self._limit:
        raise problem
      self._windows.add((section_id, window))
      left = self._limit - len(self._windows)
      self._remember(section_id, window, problem)
    say(f"hibio: warning: a window is left out ({left} more may be): {problem}")

  def _remember(self, section_id: str, window: int, problem: BadInputError) -> None:
    line = json.dumps({"section": section_id, "window": window, "problem": problem.found})
    with contextlib.suppress(OSError):  # a disk that is full does not end a run
      self._path.parent.mkdir(parents=True, exist_ok=True)
      with self._path.open("a") as file:
        file.write(line + "\n")


def _listed(path: Path) -> set[tuple[str, int]]:
  """Windows that earlier starts left out; a torn line counts for none."""
  found = set()
  for line in json_lines(path):
    with contextlib.suppress(ValueError, KeyError, TypeError):
      found.add((str(line["section"]), int(line["window"])))
  return found
