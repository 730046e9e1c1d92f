"""Where the time of a run went, over all of its starts, from what they wrote into `run.json`."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

STEP, LOST = "step", "lost work"


@dataclasses.dataclass(frozen=True)
class Account:
  """Seconds of a run.

  Attributes:
    parts: part -> seconds; "step" without what was lost, which is a part of its own.
  """

  parts: Mapping[str, float]

  @property
  def seconds(self) -> float:
    """Of all parts."""
    return sum(self.parts.values())

  @property
  def goodput(self) -> float:
    """Share of the time in which steps were taken that count."""
    return self.parts.get(STEP, 0.0) / self.seconds if self.seconds else 0.0


def of(history: Sequence[Mapping[str, Any]], lost: float | int = 0) -> Account:
  """The account of all starts.

  What a start did after its last checkpoint is lost: the next one begins there. A start that was
  killed wrote its seconds when it last saved; what came after is known from its lines alone.

  Args:
    history: of `run.json`.
    lost: seconds of steps that the next start will take again.
  """
  parts: defaultdict[str, float] = defaultdict(float)
  for number, start in enumerate(history):
    after = history[number + 1]["lost"]["seconds"] if number + 1 < len(history) else lost
    seconds = {name: s for name, s in start.get("seconds", {}).items() if name != "all"}
    if "ended" in start:  # then its seconds hold those that were lost
      seconds[STEP] = max(seconds.get(STEP, 0.0) - after, 0.0)
    parts[LOST] += after
    for name, value in seconds.items():
      parts[name] += value
  return Account(dict(parts))
