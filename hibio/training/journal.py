"""What a run says as it goes: a line in `metrics.jsonl`, the same on the console, and alarms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines import console
from hibio.configs import TrainingConfig
from hibio.training import hosts, metrics, stages
from hibio.training.alarms import Watch
from hibio.training.timing import OTHER, Stopwatch

HELD_OUT = "held_out/"
"""What a look at held-out donors is logged under."""
_COUNTED = ("skipped", "skipped_in_a_row", "skipped_recently", "spikes")
"""Of the last step of a line, not of all of them."""


class Journal:
  """The lines of a run from one of its starts on; the first of several processes alone writes them.

  Attributes:
    before: lines that earlier starts left behind, those that are about to be made again too.

  Args:
    position: steps taken before this start.
    looked: whether held-out donors are looked at after that step.
    clock: by which a line takes the time since the one before.
    alive: called with every line.
  """

  def __init__(
    self,
    workdir: Path,
    config: TrainingConfig,
    position: int,
    looked: bool,
    clock: Stopwatch,
    alive: Callable[[], None],
  ):
    self._config, self._clock, self._alive = config, clock, alive
    first = hosts.is_first()
    self.before = metrics.read(workdir) if first else []
    self._writer = metrics.MetricsWriter(workdir, position) if first else None
    kept = [line for line in self.before if line["step"] <= position]
    owes = looked and kept and kept[-1]["step"] == position and not _has_look(kept[-1])
    self._cut_short = kept.pop() if owes else None
    self._watch = Watch(config.num_steps, kept)
    self._steps: list[Mapping[str, np.ndarray]] = []
    self._beside: dict[str, Any] = {}
    self._lap = clock.lap()

  @property
  def alarms(self) -> dict[str, int]:
    """Name of each alarm that has begun -> step at which it did."""
    return self._watch.begun

  @property
  def pending(self) -> bool:
    """Whether there are steps that no line tells of yet."""
    return bool(self._steps)

  def owes_look(self) -> bool:
    """Whether the last start ended after a step and before it had looked at held-out donors."""
    return bool(hosts.from_first(lambda: np.bool_(self._cut_short is not None), np.bool_(False)))

  def begin(self) -> None:
    """The next line counts its time from here."""
    self._lap = self._clock.lap()

  def add(self, measured: Mapping[str, np.ndarray]) -> None:
    """Metrics of one more step of the next line."""
    self._steps.append(measured)

  def beside(self, values: Mapping[str, Any]) -> None:
    """More for the next line, which is not of one of its steps."""
    self._beside |= values

  def write(self, position: int) -> None:
    """The line of the steps since the last one."""
    lap = self._clock.lap(self._lap)
    self._lap = self._clock.lap()
    working = max(lap.of("data", "step", OTHER), 1e-9)
    steps = len(self._steps)
    values = {
      "stage": stages.stage_at(position - 1, self._config).name,
      **metrics.mean_of(self._steps),
      **{name: self._steps[-1][name] for name in _COUNTED},
      "pairs_per_second": sum(int(one["pairs"]) for one in self._steps) / working,
      "seconds": lap.seconds,
      "data_wait_share": lap.of("data") / working,
      **self._beside,
    }
    self._steps, self._beside = [], {}
    if self._writer is not None:
      self._alive()
      values, warnings = self._judged(position, values)
      self._writer.write(position, values)
      left = (self._config.num_steps - position) * working / steps
      console.say(metrics.line(position, self._config.num_steps, values, left))
      for warning in warnings:
        console.say(warning)

  def complete(self, held_out: Mapping[str, float]) -> None:
    """The last start's last line again, with the look that it owes."""
    if self._writer is not None:
      position = self._cut_short.pop("step")
      self._cut_short.pop("alarms", None)
      values, warnings = self._judged(position, self._cut_short | dict(held_out))
      self._writer.put_right(position, values)
      for warning in warnings:
        console.say(warning)
    self._cut_short = None

  def _judged(
    self, position: int, values: Mapping[str, Any]
  ) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The values with the alarms that ring, and a warning for each that begins."""
    ringing, warnings = self._watch.look({"step": position} | values)
    return values | ({"alarms": ringing} if ringing else {}), warnings


def _has_look(line: Mapping[str, Any]) -> bool:
  return any(name.startswith(HELD_OUT) for name in line)
