"""A run on one screen: where it stands, how fast, where its time went, what it can go on from.

  python -m experiments.status WORKDIR
  python -m experiments.status --workdir=WORKDIR --noverify

Reads what the run writes, also while it is on. Every checkpoint is checked byte by byte, as long as
reading takes; `--noverify` believes those that were finished.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_pipelines import entry
from data_pipelines.console import clock
from hibio.training import account, checkpoints, lock, metrics, workdir

FLAGS = entry.Flags(__doc__)
_WORKDIR = FLAGS.argument("workdir", "Work directory of a training run")
_VERIFY = FLAGS.bool("verify", True, "Check every byte of the checkpoints")


def main() -> None:
  print(shown(Path(_WORKDIR.value), _VERIFY.value))


def shown(folder: Path, verify: bool = True) -> str:
  """All there is to say, a line each.

  Args:
    verify: whether checkpoints are read, to see that they are whole.

  Raises:
    BadInputError: no run has begun there.
  """
  record, lines = workdir.read(folder), metrics.read(folder)
  num_steps = workdir.config(folder)["training"]["num_steps"]
  holder = lock.holder(folder)
  said = {
    "run": f"{folder}: {_state(record['history'], holder)}",
    **_progress(lines, num_steps, bool(holder)),
    **_time(record["history"]),
    "checkpoints": _checkpoints(checkpoints.survey(folder, verify), folder),
    **_warnings(lines),
  }
  return "\n".join(f"{name:<12} {text}" for name, text in said.items())


def _state(history: Sequence[Mapping[str, Any]], holder: str) -> str:
  if holder:
    return f"running, {holder}"
  return history[-1].get("ended", "killed: it wrote no end")


def _progress(lines: Sequence[Mapping[str, Any]], num_steps: int, running: bool) -> dict[str, str]:
  if not lines:
    return {"step": f"none of {num_steps} yet"}
  last, before = lines[-1], lines[-2] if len(lines) > 1 else {"step": 0}
  each = last["seconds"] / max(last["step"] - before["step"], 1)
  loss = "not finite" if last["loss"] is None else f"{last['loss']:.3f}"
  said = {"step": f"{last['step']} of {num_steps}, stage {last['stage']}, loss {loss}"}
  rate = f"{1 / max(each, 1e-9):.3g} steps and {last['pairs_per_second']:,.0f} pairs a second"
  left = f", {clock((num_steps - last['step']) * each)} left" if running else ""
  return said | {"rate": rate + left}


def _time(history: Sequence[Mapping[str, Any]]) -> dict[str, str]:
  found = account.of(history)
  largest = sorted(found.parts.items(), key=lambda part: -part[1])
  parts = ", ".join(f"{name} {clock(s)}" for name, s in largest if s >= 0.5)
  starts = [start.get("ended", "no end") for start in history]
  return {
    "goodput": f"{100 * found.goodput:.0f} % of {clock(found.seconds)}: {parts}",
    "starts": f"{len(starts)} ({', '.join(starts)})",
  }


def _checkpoints(found: Mapping[int, str], folder: Path) -> str:
  whole = [step for step, problem in found.items() if not problem]
  bad = "".join(f"; step {step}: {problem}" for step, problem in found.items() if problem)
  if not whole:
    return f"none that is whole{bad}"
  seal = folder / checkpoints.FOLDER / str(whole[0]) / "sha256.json"
  saved = datetime.datetime.fromtimestamp(seal.stat().st_mtime).isoformat(" ", "seconds")
  ago = clock(max(time.time() - seal.stat().st_mtime, 0))
  return f"{len(whole)} whole, the newest of step {whole[0]}, {saved} ({ago} ago){bad}"


def _warnings(lines: Sequence[Mapping[str, Any]]) -> dict[str, str]:
  last = lines[-1] if lines else {}
  skipped = f"{last.get('skipped') or 0} not finite, {last.get('spikes') or 0} spikes"
  ringing = {name: None for line in lines for name in line.get("alarms", ())}
  return {"skipped": skipped, "alarms": ", ".join(ringing) or "none"}


if __name__ == "__main__":
  entry.run(main, FLAGS)
