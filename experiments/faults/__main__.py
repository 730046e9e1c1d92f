"""Makes every fault on purpose, on tiny tissue, and prints a table of what became of each.

  python -m experiments.faults --output=DIR [--only=kills,signals]

kill -9 at points of training and preparation, flipped bits, signals, full disks, locks, numbers
that are none, hanging loaders, other devices, hostile files, a long run. Exit status 1 where a row
did not come out as it must. `DIR` keeps the table as `faults.md`.
"""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from data_pipelines import entry
from data_pipelines.console import say
from data_pipelines.files import write_text
from data_pipelines.problems import BadInputError
from experiments.faults import disks, flips, guards, hostile, kills, resuming, signals, soak
from experiments.faults.row import Row, Wrong, table, tried
from experiments.faults.setting import Setting
from hibio.training import lock
from hibio.training.stopping import RunStopped

KINDS = {
  "soak": soak,
  "guards": guards,
  "resuming": resuming,
  "kills": kills,
  "signals": signals,
  "flips": flips,
  "disks": disks,
  "hostile": hostile,
}
"""Name -> the module whose `rows(setting)` tries them. What lasts comes first."""

FLAGS = entry.Flags(__doc__)
_OUTPUT = FLAGS.string("output", None, "Folder for all that is made", required=True)
_ONLY = FLAGS.list("only", list(KINDS), f"Some of {', '.join(KINDS)}")
_MATCH = FLAGS.string("match", "", "Only attempts whose row has this text in it")
_JOBS = FLAGS.integer("jobs", 2, "Attempts side by side", lower_bound=1)


def main() -> None:
  for name in _ONLY.value:
    if name not in KINDS:
      raise BadInputError(
        "--only", "kind", repr(name), f"some of {', '.join(KINDS)}", "correct the name"
      )
  begun, root = time.monotonic(), Path(_OUTPUT.value).absolute()
  with _claimed(root):
    rows = _all_tried(Setting(root))
  used = resource.getrusage(resource.RUSAGE_CHILDREN)
  spent = f"{time.monotonic() - begun:.0f} s, {used.ru_utime + used.ru_stime:.0f} CPU-s"
  found = f"{table(rows)}\n\n{len(rows)} rows in {spent}"
  write_text(root / "faults.md", found + "\n")
  print(found)
  sys.exit(int(any(row.status == "FAILED" for row in rows)))


@contextlib.contextmanager
def _claimed(root: Path) -> Iterator[None]:
  """Two of them would kill each other's processes."""
  root.mkdir(parents=True, exist_ok=True)
  with contextlib.ExitStack() as inside:
    try:
      inside.enter_context(lock.held(root))
    except RunStopped as busy:
      raise BadInputError(
        "--output", "folder", f"{root}, which is in use", "a folder of its own",
        "wait for whoever uses it, or give another one",
      ) from busy  # fmt: skip
    yield


def _all_tried(setting: Setting) -> list[Row]:
  try:
    say(f"to compare with: {setting.reference}")
  except Wrong as wrong:
    sys.exit(f"hibio: without any fault: {wrong}")
  attempts = [
    one
    for name in _ONLY.value
    for one in KINDS[name].rows(setting)
    if any(_MATCH.value in f"{one.kind}: {fault}" for fault in one.faults)
  ]
  with ThreadPoolExecutor(_JOBS.value) as pool:
    return [row for rows in pool.map(tried, attempts) for row in rows]


if __name__ == "__main__":
  entry.run(main, FLAGS)
