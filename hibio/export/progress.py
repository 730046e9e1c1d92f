"""How far the reading of sections is, how fast it goes, and how long it will take."""

from __future__ import annotations

import time
from collections.abc import Callable

from hibio.training.progress import say

_EVERY_SECONDS = 5.0


class Progress:
  """Counts spots over all sections; prints a line every few seconds and one at the end."""

  def __init__(
    self,
    spots: int,
    clock: Callable[[], float] = time.monotonic,
    write: Callable[[str], None] = say,
  ):
    self._spots, self._clock, self._write = spots, clock, write
    self._begin = self._said = clock()
    self._done = 0

  def add(self, spots: int, section_id: str) -> None:
    """Says that so many spots more are done."""
    self._done += spots
    now = self._clock()
    if now - self._said < _EVERY_SECONDS or self._done >= self._spots:
      return
    self._said = now
    rate = self._done / max(now - self._begin, 1e-9)
    left = (self._spots - self._done) / rate
    self._write(
      f"embed: {self._done:,} of {self._spots:,} spots ({section_id}), {rate:,.0f} spots/s, "
      f"{left // 60:.0f}:{left % 60:02.0f} left"
    )

  def finished(self) -> float:
    """The last line, with the rate over everything; returns that rate, in spots a second."""
    seconds = max(self._clock() - self._begin, 1e-9)
    rate = self._done / seconds
    self._write(f"embed: {self._done:,} spots in {seconds:.1f} s, {rate:,.0f} spots/s")
    return rate
