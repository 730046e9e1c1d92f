"""A long run: its memory, threads and open files stay what they were."""

from __future__ import annotations

import functools
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from experiments.faults.row import Attempt, must, single
from experiments.faults.setting import Command, Setting
from hibio.training import metrics

STEPS = 2000
_FROM = 0.25
"""Share of the run after which nothing may grow any more: by then every part has been entered."""

_MOST = 0.02


def rows(setting: Setting) -> Iterator[Attempt]:
  yield single("soak", f"{STEPS:,} steps", functools.partial(_soak, setting))


def _soak(setting: Setting) -> str:
  """Says by how much each has grown."""
  workdir = setting.folder() / "run"
  process = Command(
    *setting.pretrain(workdir), f"--config.training.num_steps={STEPS}",
    "--config.training.evaluate_every=100", "--config.training.checkpoint_every=100",
    "--config.training.log_every=20", "--config.training.region_refresh_share=0.05",
  )  # fmt: skip
  seen: list[tuple[int, dict[str, int]]] = []
  while process.poll() is None:
    last = metrics.read(workdir)[-1:]
    if last and last[0]["step"] < STEPS and (measured := _measured(process.pid)):
      seen.append((last[0]["step"], measured))
    time.sleep(1.0)
  process.ended().must_end_with(0)
  early = [one for step, one in seen if _FROM * STEPS <= step < 1.5 * _FROM * STEPS]
  late = [one for step, one in seen if step >= (1 - 0.5 * _FROM) * STEPS]
  must(bool(early and late), "too fast to be looked at")
  grown = {name: _median(late, name) / _median(early, name) - 1 for name in early[0]}
  said = ", ".join(
    f"{name} {100 * by:+.1f} % (of {_median(early, name):,.0f}{' kB' * (name == 'memory')})"
    for name, by in grown.items()
  )
  must(max(grown.values()) < _MOST, said)
  return said


def _median(seen: list[dict[str, int]], name: str) -> float:
  return statistics.median(one[name] for one in seen)


def _measured(pid: int) -> dict[str, int]:
  """Memory in kB, threads and open files of a process; nothing where the system does not tell."""
  try:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines)
    return {
      "memory": int(values["VmRSS"].split()[0]),
      "threads": int(values["Threads"]),
      "open files": len(os.listdir(f"/proc/{pid}/fd")),
    }
  except (OSError, KeyError):
    return {}
