"""The parts of a long command, a line each on stderr: how far, how long it took, how long still."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from hibio.training.progress import say


class Steps:
  """Counts the parts of a command as they are done.

  Args:
    command: what the lines begin with.
    names: every part, in order, with what it is expected to weigh beside the others.
  """

  def __init__(
    self, command: str, names: dict[str, float], clock: Callable[[], float] = time.monotonic
  ):
    self._command, self._weights, self._clock = command, dict(names), clock
    self._done: list[str] = []
    self._start = clock()

  @contextlib.contextmanager
  def part(self, name: str, amount: str = "") -> Iterator[None]:
    """Runs one part; `amount` says what it worked on, e.g. "15,182 spots"."""
    begun = self._clock()
    yield
    now = self._clock()
    self._done.append(name)
    finished = sum(self._weights.get(done, 1.0) for done in self._done)
    left = sum(self._weights.values()) - sum(self._weights.get(d, 0.0) for d in self._done)
    remaining = max(left, 0.0) * (now - self._start) / max(finished, 1e-9)
    of = max(len(self._weights), len(self._done))
    what = f"{name} ({amount})" if amount else name
    say(
      f"{self._command} {len(self._done)}/{of} {what}: {now - begun:.0f} s,"
      f" about {_clock_time(remaining)} left"
    )


def _clock_time(seconds: float) -> str:
  return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
