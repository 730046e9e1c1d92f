"""What commands say on stderr while they work: how far, how fast, how long still."""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping

from data_pipelines.problems import printable

_silent = False


def say(line: str) -> None:
  """One line to whoever watches; where it cannot be written, work goes on without it."""
  if not _silent:
    with contextlib.suppress(OSError):  # a log on a full disk, a pipe that nobody reads
      print("\n".join(map(printable, line.split("\n"))), file=sys.stderr, flush=True)


def silence() -> None:
  """From here on nothing is said: of several processes one speaks."""
  global _silent
  _silent = True


def counted(count: int, what: str) -> str:
  """How many there are of `what`, which is in the plural: "2,310 spots", "1 gene set"."""
  one = re.sub(r"s\b", "", what, count=1)
  return f"{count:,} {one if count == 1 else what}"


def clock(seconds: float | int) -> str:
  """`3:05`, or `1:02:03` from an hour on."""
  minutes, seconds = divmod(int(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


@contextlib.contextmanager
def announced(what: str, usually: str) -> Iterator[None]:
  """Says that something begins which shows no progress, how long it usually takes, and took."""
  say(f"{what}: usually {usually}")
  begun = time.monotonic()
  yield
  say(f"{what}: took {time.monotonic() - begun:.0f} s")


def announcing(function: Callable, what: str, usually: str) -> Callable:
  """The function, with its first call announced: a jitted one compiles then."""
  called = False

  def call(*arguments):
    nonlocal called
    if called:
      return function(*arguments)
    called = True
    with announced(what, usually):
      return function(*arguments)

  return call


class Progress:
  """Counts what is done of a known total, and says so now and then.

  Args:
    what: what lines begin with, e.g. "retrieval".
    total: how many there are.
    unit: of what, in the plural, e.g. "spots".
    every_seconds: at least so long between two lines; short work says nothing. 0 says a line each
      time.
    now: seconds since any moment.
  """

  def __init__(
    self,
    what: str,
    total: int,
    unit: str,
    *,
    every_seconds: float | int = 10,
    now: Callable[[], float] = time.monotonic,
  ):
    self._what, self._total, self._unit = what, total, unit
    self._every, self._now = every_seconds, now
    self._start = self._said = now()
    self._done = 0

  def add(self, count: int = 1, note: str = "") -> None:
    """Counts `count` more; `note` tells what they were, e.g. the section they belong to."""
    self._done += count
    now = self._now()
    if now - self._said < self._every:
      return
    self._said = now
    rate = self._done / max(now - self._start, 1e-9)
    what = f"{self._what} {self._done:,}/{self._total:,} {self._unit}{note and f' ({note})'}"
    left = clock((self._total - self._done) / max(rate, 1e-9))
    say(f"{what}, {_rate(rate)} {self._unit}/s, {left} left")

  def finish(self) -> float:
    """Says what all of it took; returns the rate, in units a second."""
    seconds = max(self._now() - self._start, 1e-9)
    rate = self._done / seconds
    say(f"{self._what} {self._done:,} {self._unit} in {seconds:.1f} s, {_rate(rate)} a second")
    return rate


class Parts:
  """Says of each part of a long command what it took, and how long the others will take.

  Args:
    command: what lines begin with.
    weights: every part, in order, with the time it is expected to take relative to the others.
    now: seconds since any moment.
  """

  def __init__(
    self, command: str, weights: Mapping[str, float], now: Callable[[], float] = time.monotonic
  ):
    self._command, self._weights, self._now = command, dict(weights), now
    self._done: list[str] = []
    self._start = now()

  @contextlib.contextmanager
  def part(self, name: str, amount: str = "") -> Iterator[None]:
    """Runs one part; `amount` says what it works on, e.g. "15,182 spots"."""
    begun = self._now()
    yield
    now = self._now()
    self._done.append(name)
    finished = sum(self._weights.get(done, 1.0) for done in self._done)
    remaining = sum(weight for part, weight in self._weights.items() if part not in self._done)
    left = clock(remaining * (now - self._start) / max(finished, 1e-9))
    count = f"{len(self._done)}/{max(len(self._weights), len(self._done))}"
    what = f"{name} ({amount})" if amount else name
    say(f"{self._command} {count} {what}: {now - begun:.0f} s, about {left} left")


def _rate(value: float) -> str:
  return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
