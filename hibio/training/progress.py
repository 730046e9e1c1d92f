"""What a run says on the console, and where its time went."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from data_pipelines import console


@dataclasses.dataclass(frozen=True)
class Lap:
  """Seconds between two looks at a watch, and those of them that went into named parts."""

  seconds: float
  parts: dict[str, float]

  def outside(self, *names: str) -> float:
    """Seconds of all parts but these."""
    return sum(seconds for name, seconds in self.parts.items() if name not in names)


class Stopwatch:
  """Seconds since it was made, and how many of them went into named parts."""

  def __init__(self) -> None:
    self._start = time.monotonic()
    self.parts: defaultdict[str, float] = defaultdict(float)

  @property
  def seconds(self) -> float:
    return time.monotonic() - self._start

  @contextlib.contextmanager
  def part(self, name: str) -> Iterator[None]:
    start = time.monotonic()
    try:
      yield
    finally:
      self.parts[name] += time.monotonic() - start

  def lap(self, since: Lap | None = None) -> Lap:
    """What has passed since `since`, or since the watch was made."""
    if since is None:
      return Lap(self.seconds, dict(self.parts))
    parts = {name: value - since.parts.get(name, 0.0) for name, value in self.parts.items()}
    return Lap(self.seconds - since.seconds, parts)


def line(step: int, num_steps: int, values: Mapping[str, Any], seconds_left: float) -> str:
  """`step 20/600 spot loss 5.21 (spot 4.80, chance 5.55) 812 pairs/s, 3:10 left`."""
  spot = ""
  if "loss/spot" in values and "chance/spot" in values:
    spot = f" (spot {values['loss/spot']:.3f}, chance {values['chance/spot']:.3f})"
  return (
    f"step {step}/{num_steps} {values['stage']} loss {values['loss']:.3f}{spot}"
    f" {values['pairs_per_second']:.0f} pairs/s, {console.clock(seconds_left)} left"
  )
