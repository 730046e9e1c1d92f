"""Makes every fault on purpose, on tiny tissue, and prints a table of what became of each.

  python -m experiments.faults --output=DIR [--only=kills,signals]

kill -9 at points of training and preparation, flipped bits, signals, full disks, locks, numbers
that are none, hanging loaders, other devices, hostile files, a long run. Exit status 1 where a row
did not come out as it must. `DIR` keeps `faults.md`, and the tissue, for the next time.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from data_pipelines import entry
from data_pipelines.console import say
from data_pipelines.files import write_text
from data_pipelines.problems import BadInputError
from experiments.faults import disks, flips, guards, hostile, kills, resuming, signals, soak
from experiments.faults.row import table, tried
from experiments.faults.setting import Setting

KINDS = {
  "kills": kills,
  "flips": flips,
  "signals": signals,
  "guards": guards,
  "disks": disks,
  "resuming": resuming,
  "hostile": hostile,
  "soak": soak,
}
"""Name -> the module whose `rows(setting)` tries them."""

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
  begun, setting = time.monotonic(), Setting(Path(_OUTPUT.value).absolute())
  say(f"to compare with: {setting.reference}")
  attempts = [
    one
    for name in _ONLY.value
    for one in KINDS[name].rows(setting)
    if _MATCH.value in f"{one.kind}: {one.fault}"
  ]
  with ThreadPoolExecutor(_JOBS.value) as pool:
    rows = list(pool.map(tried, attempts))
  found = f"{table(rows)}\n\n{len(rows)} rows in {time.monotonic() - begun:.0f} s"
  write_text(setting.root / "faults.md", found + "\n")
  print(found)
  sys.exit(int(any(row.status == "FAILED" for row in rows)))


if __name__ == "__main__":
  entry.run(main, FLAGS)
