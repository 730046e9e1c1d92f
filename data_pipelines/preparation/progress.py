"""One line on stderr for each section: how far, how fast, how long still."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable


class Progress:
  """Counts sections and spots of one pass over the corpus."""

  def __init__(self, what: str, sections: int, clock: Callable[[], float] = time.monotonic):
    self._what, self._sections, self._clock = what, sections, clock
    self._start, self._done, self._spots = clock(), 0, 0

  def section(self, section_id: str, spots: int) -> None:
    """Says that a section is done."""
    self._done += 1
    self._spots += spots
    seconds = max(self._clock() - self._start, 1e-9)
    left = seconds / self._done * (self._sections - self._done)
    say(
      f"{self._what} {self._done}/{self._sections} {section_id}: {spots:,} spots,"
      f" {self._spots / seconds:,.0f} spots/s, {_duration(left)} left"
    )


def say(line: str) -> None:
  """A line on stderr."""
  print(f"prepare: {line}", file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
  minutes, rest = divmod(round(seconds), 60)
  return f"{minutes} min {rest} s" if minutes else f"{rest} s"
