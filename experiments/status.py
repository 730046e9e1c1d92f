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
from hibio.training import account, checkpoints, intact, lock, metrics, workdir

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
  holder = lock.holder(folder)
  record, lines = workdir.read(folder), metrics.read(folder)
  num_steps = workdir.config(folder)["training"]["num_steps"]
  found = checkpoints.survey(folder, verify)
  whole = [step for step, problem in found.items() if not problem]
  starts = [start.get("ended", "killed: it wrote no end") for start in record["history"]]
  lost = {"steps": 0, "seconds": 0}
  if holder:
    starts[-1] = "running"
  else:
    lost = workdir.lost(lines, max(whole, default=0))
  said = {
    "run": f"{folder}: {starts[-1]}{holder and ', '}{holder}",
    **_progress(lines, num_steps, folder, bool(holder)),
    "goodput": _goodput(account.of(record["history"], lost["seconds"]), bool(holder)),
    "starts": f"{len(starts)} ({', '.join(start.partition(':')[0] for start in starts)})",
    "checkpoints": _checkpoints(found, whole, folder, lost["steps"]),
    **_warnings(lines),
  }
  return "\n".join(f"{name:<12} {text}" for name, text in said.items())


def _progress(
  lines: Sequence[Mapping[str, Any]], num_steps: int, folder: Path, running: bool
) -> dict[str, str]:
  if not lines:
    return {"step": f"none of {num_steps} yet"}
  last, ago = lines[-1], f" ({_ago(folder / metrics.NAME)})" if running else ""
  loss = "not finite" if last.get("loss") is None else f"{last['loss']:.3f}"
  stage = last.get("stage", "not known")
  said = {"step": f"{last['step']} of {num_steps}{ago}, stage {stage}, loss {loss}"}
  pairs, rate = last.get("pairs"), last.get("pairs_per_second")
  if not (pairs and rate):
    return said
  left = f", {clock((num_steps - last['step']) * pairs / rate)} left" if running else ""
  return said | {"rate": f"{rate / pairs:.3g} steps and {rate:,.0f} pairs a second{left}"}


def _goodput(found: account.Account, running: bool) -> str:
  if not found.seconds:
    return "not known before the first save"
  largest = sorted(found.parts.items(), key=lambda part: -part[1])
  parts = ", ".join(f"{name} {clock(s)}" for name, s in largest if s >= 0.5)
  saved = " up to the last save" if running else ""
  return f"{100 * found.goodput:.0f} % of {clock(found.seconds)}{saved}: {parts}"


def _checkpoints(
  found: Mapping[int, str], whole: Sequence[int], folder: Path, lost_steps: int
) -> str:
  bad = "".join(f"; step {step}: {problem}" for step, problem in found.items() if problem)
  if not whole:
    return f"none that is whole{bad}"
  seal = folder / checkpoints.FOLDER / str(whole[0]) / intact.NAME
  saved = datetime.datetime.fromtimestamp(seal.stat().st_mtime).isoformat(" ", "seconds")
  again = f"; {lost_steps} steps behind it will be taken again" if lost_steps else ""
  return f"{len(whole)} whole, the newest of step {whole[0]}, {saved} ({_ago(seal)}){again}{bad}"


def _ago(path: Path) -> str:
  return f"{clock(max(time.time() - path.stat().st_mtime, 0))} ago"


def _warnings(lines: Sequence[Mapping[str, Any]]) -> dict[str, str]:
  last = lines[-1] if lines else {}
  skipped = f"{last.get('skipped') or 0} not finite, {last.get('spikes') or 0} spikes"
  ringing = {name: None for line in lines for name in line.get("alarms", ())}
  return {"skipped": skipped, "alarms": ", ".join(ringing) or "none"}


if __name__ == "__main__":
  entry.run(main, FLAGS)
