"""Where the wall time of a run goes: every second belongs to exactly one named part."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

OTHER = "other"
"""The part of what has no name."""
START = "start"
"""The part of what came before the watch: Python itself, and imports."""


@dataclasses.dataclass(frozen=True)
class Lap:
  """A span of time in seconds, and how it is shared among the parts."""

  seconds: float
  parts: dict[str, float]

  def of(self, *names: str) -> float:
    """Seconds of these parts."""
    return sum(self.parts.get(name, 0.0) for name in names)


class Stopwatch:
  """Seconds since it was made; inside a part, its time is that of no other.

  Args:
    before: seconds that had passed already, which count as the part "start".
  """

  def __init__(self, now: Callable[[], float] = time.monotonic, before: float = 0.0):
    self._now, self._part = now, OTHER
    self._since = now()
    self._start = self._since - before
    self._parts: defaultdict[str, float] = defaultdict(float)
    if before:
      self._parts[START] = before

  @contextlib.contextmanager
  def part(self, name: str) -> Iterator[None]:
    """Time spent in the block; a part around it stands still meanwhile."""
    around = self._part
    self._change_to(name)
    try:
      yield
    finally:
      self._change_to(around)

  def lap(self, since: Lap | None = None) -> Lap:
    """What has passed since the watch was made, or since an earlier lap from then."""
    self._change_to(self._part)
    whole = Lap(self._since - self._start, dict(self._parts))
    if since is None:
      return whole
    parts = {name: seconds - since.of(name) for name, seconds in whole.parts.items()}
    return Lap(whole.seconds - since.seconds, parts)

  def shares(self) -> dict[str, float]:
    """Part -> its seconds so far; they sum to "all"."""
    lap = self.lap()
    return {name: round(value, 3) for name, value in (lap.parts | {"all": lap.seconds}).items()}

  def _change_to(self, name: str) -> None:
    now = self._now()
    self._parts[self._part] += now - self._since
    self._since, self._part = now, name


def since_process_began() -> float:
  """Seconds that this process has been running for; 0 where the system does not tell."""
  try:
    after_name = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    began = int(after_name[19]) / os.sysconf("SC_CLK_TCK")
    return max(time.clock_gettime(time.CLOCK_BOOTTIME) - began, 0.0)
  except (OSError, ValueError, IndexError, AttributeError):
    return 0.0
