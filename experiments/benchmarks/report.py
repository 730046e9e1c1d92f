"""The newest result of every benchmark against its goal, as one Markdown table.

  python -m experiments.benchmarks.report --measure

measures first: every benchmark, each in a process of its own, one after another. Nothing else
should run meanwhile. Peers come with `pip install -e .[bench]`.
"""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from data_pipelines import entry
from data_pipelines.console import say
from data_pipelines.files import write_text
from experiments.benchmarks import results
from experiments.benchmarks.results import Result

SCRIPTS = (
  "towers", "ranks", "keywords", "loading", "activity", "crops", "contrast", "prepare",
  "extraction", "runs", "regions",
)  # fmt: skip
"""Modules of this folder with `CASES`, in the order of the table."""

SHOWN = (*SCRIPTS, "demo", "gpu")
"""The table has their rows, too; they are run on the machine that they are about."""

FLAGS = entry.Flags(__doc__)
_MEASURE = FLAGS.bool("measure", False, "Run all benchmarks first")
_QUICK = FLAGS.bool("quick", False, "With --measure: only check that both sides give the same")
_SCRIPTS = FLAGS.list("scripts", list(SCRIPTS), "Benchmarks to run")
_MINUTES = FLAGS.integer("minutes", 60, "With --measure: no benchmark begins after so long")
_FILE = FLAGS.string("results", results.FILE, "File of results")
_INTO = FLAGS.string("into", "", "Markdown file whose table, between two comments, is replaced")

_TABLE = re.compile(r"(<!-- benchmarks -->\n).*?(\n<!-- end of benchmarks -->)", re.DOTALL)


def main() -> None:
  path, failed, end = Path(_FILE.value), [], time.monotonic() + 60 * _MINUTES.value
  for script in _SCRIPTS.value if _MEASURE.value else ():
    if time.monotonic() > end:
      say(f"no time left for {script}")
      continue
    command = [sys.executable, "-m", f"experiments.benchmarks.{script}", f"--output={path}"]
    done = subprocess.run(command + ["--quick"] * _QUICK.value, check=False)
    failed += [script] * (done.returncode != 0)
  if not _QUICK.value:
    text = report(path)
    print(text)
    if into := _INTO.value:
      page = Path(into).read_text()
      write_text(Path(into), _TABLE.sub(lambda old: old[1] + text + old[2], page))
  sys.exit(f"these went wrong: {', '.join(failed)}" if failed else 0)


def report(path: Path, scripts: Sequence[str] = SHOWN) -> str:
  """Every case of the scripts in order; what was never measured says so."""
  found, rows = results.newest(path), []
  for script in scripts:
    for case in importlib.import_module(f"experiments.benchmarks.{script}").CASES:
      never = Result(case.name, case.peer, case.goal, "not measured")
      rows.append(found.get(case.name, never))
  measured = {f"{row.device}, {row.when[:10]}" for row in rows if row.ratio is not None}
  return "\n\n".join([results.table(rows), *(f"Measured on {one}." for one in sorted(measured))])


if __name__ == "__main__":
  entry.run(main, FLAGS)
