"""Runs commands side by side, each on its share of the cores; one that fails stops no other."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from data_pipelines.console import clock, say
from data_pipelines.leaving import Signals
from hibio.training.stopping import INTERRUPTED, RunStopped

POLL_SECONDS = 0.2
HEARTBEAT_SECONDS = 60.0

_SAID = ("stopping when every run has saved", "still saving; once more ends at once")


@dataclasses.dataclass(frozen=True)
class Job:
  """Commands to run one after the other, until one fails.

  Attributes:
    commands: arguments of `python -m`.
    log: what they say goes here.
  """

  name: str
  commands: tuple[tuple[str, ...], ...]
  log: Path


@dataclasses.dataclass(frozen=True)
class Outcome:
  """How a job ended.

  Attributes:
    status: exit status of its last command; negative for a signal.
    said: the last line that it said, where it failed.
  """

  name: str
  status: int
  said: str
  seconds: float


def run(
  jobs: Sequence[Job],
  at_once: int,
  done: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
  """Runs all jobs, `at_once` side by side.

  Raises:
    RunStopped: status 75 after a request to stop, when those that ran have saved.
  """
  with Signals(lambda: None, lambda: None, *_SAID) as stop:
    waiting, outcomes = deque(jobs), []
    places: list[_Running | None] = [None] * at_once
    begun = said = time.monotonic()
    while waiting or any(places):
      for place, running in enumerate(places):
        if running is not None and (outcome := running.poll(bool(stop.name))):
          places[place] = None
          outcomes.append(outcome)
          done(outcome)
          _tell(outcome, bool(stop.name), len(outcomes), len(jobs), time.monotonic() - begun)
        if places[place] is None and waiting and not stop.name:
          places[place] = _Running(waiting.popleft(), _cores(place, at_once))
      if stop.name:
        waiting.clear()
        for running in filter(None, places):
          running.stop()
      if time.monotonic() - said > HEARTBEAT_SECONDS:
        said = time.monotonic()
        for running in filter(None, places):
          say(f"ablate: {running.job.name}: {last_line(running.job.log)}")
      time.sleep(POLL_SECONDS)
  if stop.name:
    left = len(jobs) - sum(outcome.status == 0 for outcome in outcomes)
    message = (
      f"hibio: stopped with {left} of {len(jobs)} runs to do; what they learned is saved."
      " Run the same command again to go on."
    )
    say(message)
    raise RunStopped(INTERRUPTED, message)
  return outcomes


def last_line(log: Path) -> str:
  """The last line of a log that says something."""
  lines = log.read_text(errors="replace").splitlines() if log.exists() else []
  return next((line.strip() for line in reversed(lines) if line.strip()), "")


class _Running:
  """One job under way."""

  def __init__(self, job: Job, cores: set[int]):
    self.job, self._cores = job, cores
    self._left = deque(job.commands)
    self._begun, self._stopped = time.monotonic(), False
    job.log.parent.mkdir(parents=True, exist_ok=True)
    self._process = self._start()

  def poll(self, stops: bool) -> Outcome | None:
    """The outcome, once there is one; starts the next command where one has ended well."""
    status = self._process.poll()
    if status is None:
      return None
    if status == 0 and self._left and not stops:
      self._process = self._start()
      return None
    if status == 0 and self._left:
      status = INTERRUPTED
    said = last_line(self.job.log) if status else ""
    return Outcome(self.job.name, status, said, time.monotonic() - self._begun)

  def stop(self) -> None:
    """Asks the command to save and end; once."""
    if not self._stopped and self._process.poll() is None:
      self._process.send_signal(signal.SIGTERM)
    self._stopped = True

  def _start(self) -> subprocess.Popen:
    with self.job.log.open("a") as log:
      process = subprocess.Popen(
        [sys.executable, "-m", *self._left.popleft()],
        stdout=log,
        stderr=log,
        process_group=0,  # Ctrl-C reaches it through us, once
      )
    if self._cores:
      os.sched_setaffinity(process.pid, self._cores)
    return process


def _cores(place: int, at_once: int) -> set[int]:
  """The cores of one of so many places; empty where there is nothing to divide."""
  if at_once < 2 or not hasattr(os, "sched_setaffinity"):
    return set()
  cores = sorted(os.sched_getaffinity(0))
  return set(cores[place % len(cores) :: at_once])


def _tell(outcome: Outcome, stops: bool, number: int, of: int, seconds: float) -> None:
  if stops:
    say(f"ablate: {outcome.name}: {'stopped' if outcome.status else 'done'}")
    return
  how = "done" if outcome.status == 0 else f"FAILED with status {outcome.status}: {outcome.said}"
  left = seconds / number * (of - number)
  say(
    f"ablate {number}/{of} {outcome.name}: {how}, {outcome.seconds:.0f} s, about {clock(left)} left"
  )
