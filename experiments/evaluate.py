"""Frozen embeddings on held-out donors, beside chance and simple baselines.

  python -m experiments.evaluate --checkpoint=WORKDIR --corpus=CORPUS --output=DIR

Writes `results.json` (rows of `hibio.tasks.rows.Row`), `results.md` (the same as tables) and
`figures/`. The untrained model of the same shape goes through the same code.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from absl import flags

from data_pipelines.loading.corpus import Corpus
from experiments import entry, report_tables, suite
from experiments.figures import maps
from hibio import pretrained
from hibio.tasks.clusterers import kmeans
from hibio.tasks.cohort import Cohort

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "Work directory of a pretraining run")
_CORPUS = flags.DEFINE_string("corpus", None, "Prepared corpus with labels, counts and images")
_OUTPUT = flags.DEFINE_string("output", None, "Folder for results.json and figures")
_LABEL = flags.DEFINE_string("label", "", "Label column to use; default: every one")
_ALLOW_LEAK = flags.DEFINE_bool("allow_leak", False, "Score a donor the checkpoint was trained on")


def main() -> None:
  output = Path(entry.required(_OUTPUT))
  model = pretrained.load(entry.required(_CHECKPOINT))
  corpus = Corpus.open(entry.required(_CORPUS))
  rows, cohort = suite.evaluate(model, corpus, label=_LABEL.value, allow_leak=_ALLOW_LEAK.value)
  output.mkdir(parents=True, exist_ok=True)
  (output / "results.json").write_text(
    json.dumps(
      {
        "command": f"python -m experiments.evaluate --checkpoint={_CHECKPOINT.value}"
        f" --corpus={_CORPUS.value} --output={output}",
        "checkpoint": model.describe(),
        "corpus": {"name": corpus.name, "fingerprint": corpus.fingerprint},
        "rows": [row.to_json() for row in rows],
      },
      indent=1,
      allow_nan=False,
    )
  )
  tables = report_tables.markdown(rows)
  (output / "results.md").write_text(tables)
  print(tables)
  labels = suite.labels_of(corpus, _LABEL.value)
  draw(corpus, cohort, labels[-1] if labels else "", output / "figures")
  print(f"results.json, results.md and figures: {output}")


def draw(corpus: Corpus, cohort: Cohort, label: str, folder: Path) -> None:
  """Labels and domains over the tissue of up to three held-out sections."""
  test = cohort.split("test")
  positions = test.spots[["x_um", "y_um"]].to_numpy(np.float64)
  ids = list(dict.fromkeys(test.spots["section_id"]))[:3]
  columns = {}
  if label:
    columns[label] = corpus.spots[label].to_numpy(str)
  for feature in ("hibio/fused", "hibio/image"):
    groups = np.full(len(corpus.spots), "-1", dtype="<U8")
    for section, rows in test.sections():
      k = len(set(columns[label][corpus.spots["section_id"] == section]) - {""}) if label else 7
      (found,) = kmeans(test.features[feature][rows], positions[rows], max(k, 2), seed=0)
      groups[test.spots["spot_index"].to_numpy()[rows]] = found.astype(str)
    columns[f"domains, {feature}"] = groups
  maps.draw_groups(corpus, columns, ids, folder / "domains.png")


if __name__ == "__main__":
  entry.run(main)
