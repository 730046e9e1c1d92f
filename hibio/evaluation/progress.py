"""A line on stderr now and then while a task takes long; short tasks say nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

from hibio.training.progress import say

EVERY_SECONDS = 10.0


class Progress:
  """Counts what is done of a known total."""

  def __init__(
    self,
    what: str,
    total: int,
    unit: str,
    clock: Callable[[], float] = time.monotonic,
    out: Callable[[str], None] = say,
  ):
    self._what, self._total, self._unit = what, total, unit
    self._clock, self._out = clock, out
    self._start = self._said = clock()
    self._done = 0

  def add(self, count: int = 1) -> None:
    """Counts `count` more; says a line if the last one is `EVERY_SECONDS` ago."""
    self._done += count
    now = self._clock()
    if now - self._said < EVERY_SECONDS:
      return
    self._said = now
    rate = self._done / (now - self._start)
    self._out(
      f"{self._what} {self._done:,}/{self._total:,} {self._unit}, {rate:,.1f} a second,"
      f" {(self._total - self._done) / rate:,.0f} s left"
    )
