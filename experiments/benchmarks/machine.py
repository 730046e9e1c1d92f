"""Cores for a measurement alone, and how much of the machine others used meanwhile."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

_STAT = Path("/proc/stat")
_IDLE = (3, 4)
"""Columns of a processor's line: idle, and idle while something waits for a disk."""


def pin(cores: int) -> int:
  """Runs this program again on so many cores and threads, if it may use more; how many it has.

  From the start: libraries take their threads from what they find when they are imported. Where the
  system cannot pin, threads alone are limited.
  """
  threads = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), str(cores)
  )
  limited = all(os.environ.get(name) == value for name, value in threads.items())
  can_pin = hasattr(os, "sched_setaffinity")
  own = sorted(os.sched_getaffinity(0)) if can_pin else range(os.cpu_count() or 1)
  if not limited or (can_pin and len(own) > cores):
    if can_pin:
      os.sched_setaffinity(0, own[-cores:])  # the first core has most of the system's own work
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **threads})
  return min(cores, len(own))


class Watch:
  """Sees what other processes, and other machines on the same hardware, use from now on."""

  def __init__(self):
    self._begun = time.perf_counter(), _busy_seconds(), _own_seconds()

  def elsewhere(self) -> float:
    """Cores that others kept busy, on average; where the system does not tell, its load before."""
    begun, busy, own = self._begun
    seconds = max(time.perf_counter() - begun, 1e-9)
    if busy is None:
      return max(os.getloadavg()[0] - (_own_seconds() - own) / seconds, 0.0)
    return max((_busy_seconds() - busy - _own_seconds() + own) / seconds, 0.0)


def _busy_seconds() -> float | None:
  """Processor time that anybody has used, with what the host took away, over all cores."""
  if not _STAT.exists():
    return None
  ticks = [int(column) for column in _STAT.read_text().split("\n", 1)[0].split()[1:9]]
  busy = sum(value for place, value in enumerate(ticks) if place not in _IDLE)
  return busy / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
  """Of this process and of those that it has waited for."""
  return sum(os.times()[:4])
