"""Several evaluations of the same corpus as one table: mean and standard deviation over seeds.

  python -m experiments.summary --results=A/results.json,B/results.json,C/results.json --output=DIR

Prints the tables; with `--output` they are also written as `summary.md` and `summary.json` (rows of
`hibio.evaluation.rows.Row`; `spread` is the sample standard deviation over runs, `parts` are the
runs).
"""

from __future__ import annotations

import json
from pathlib import Path

from data_pipelines import entry
from data_pipelines.files import write_text
from hibio.evaluation import over_runs
from hibio.report import markdown

FLAGS = entry.Flags(__doc__)
_RESULTS = FLAGS.list(
  "results", None, "results.json of each run, separated by commas", required=True
)
_OUTPUT = FLAGS.string("output", "", "Folder for summary.md and summary.json")


def main() -> None:
  runs = [over_runs.read(Path(path)) for path in _RESULTS.value]
  rows = over_runs.summarised(runs)
  listed = ", ".join(str(run.path) for run in runs)
  tables = (
    f"# {runs[0].corpus}: {len(runs)} runs\n\nMean ± sample sd over {listed}.\n\n"
    + markdown.markdown(rows)
  )
  print(tables)
  if _OUTPUT.value:
    output = Path(_OUTPUT.value)
    content = {
      "corpus": {"name": runs[0].corpus, "fingerprint": runs[0].fingerprint},
      "runs": [str(run.path) for run in runs],
      "rows": [row.to_json() for row in rows],
    }
    write_text(output / "summary.json", json.dumps(content, indent=1, allow_nan=False))
    write_text(output / "summary.md", tables)
    print(f"summary.json and summary.md: {output}")


if __name__ == "__main__":
  entry.run(main, FLAGS)
