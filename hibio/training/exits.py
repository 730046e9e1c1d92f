"""How a run ends before its last step: one line, and an exit status that a scheduler can read."""

from __future__ import annotations

BUSY = 73
"""Another run holds the work directory."""
CANNOT_SAVE = 74
"""Checkpoints failed several times in a row."""
INTERRUPTED = 75
"""Asked to stop; saved. Running the same command again goes on."""
NOT_FINITE = 76
"""Too many steps gave a loss or a gradient that is not finite."""


class RunStopped(SystemExit):
  """Ends the program with status `code` unless somebody catches it; `message` says why."""

  def __init__(self, code: int, message: str):
    super().__init__(code)
    self.message = message

  def __str__(self) -> str:
    return self.message
