"""The tasks on frozen embeddings of held-out donors, beside chance and simple baselines.

  python -m experiments.evaluate --checkpoint=WORKDIR --corpus=CORPUS --output=DIR

Any corpus will do that was prepared with the checkpoint's genes (`--panel=WORKDIR/panel.tsv`). On
the corpus that it was trained with, whoever its run held out (`config.split`) is scored.
Writes `report.html` (tables and pictures on one page), `results.md` (the tables), `results.json`
(rows of `hibio.evaluation.rows.Row`) and `figures/` (the page's maps and charts as PNG). What the
levels of the model have learned, keyword genes, pathway anchors and regions, is asked alone by
`--tasks=keywords,anchors,regions`. The untrained model of the same shape, every checkpoint named
by `--compare` and every baseline go through the same code on the same spots.

  python -m experiments.evaluate --features=uni=uni/{section}.h5 --corpus=CORPUS --output=DIR

Features need no checkpoint: all that asks no model is then asked of them and of every baseline.
`--features=NAME` alone names features that lie beside the corpus.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from absl import flags

from data_pipelines import console, entry
from data_pipelines.files import appearing_in, require_room, write_text
from data_pipelines.loading.corpus import Corpus
from data_pipelines.problems import BadInputError, disk_explained
from hibio import corpora, features, pretrained
from hibio.evaluation import suite
from hibio.evaluation.baselines import BASELINES
from hibio.evaluation.methods import MODEL, UNTRAINED
from hibio.report import collect, markdown, page, section_figures

FLAGS = entry.Flags(__doc__)
_CHECKPOINT = FLAGS.string(
  "checkpoint", None, "Work directory of a training run; may be left out where --features is given"
)
_CORPUS = FLAGS.string(
  "corpus", None, "Prepared corpus: counts, and images or labels", required=True
)
_OUTPUT = FLAGS.string(
  "output", None, "Folder for report.html, results.md, results.json and figures", required=True
)
_TASKS = FLAGS.list("tasks", list(suite.EVALUATED), f"Some of {', '.join(suite.TASKS)}")
_DONORS = FLAGS.list(
  "donors", [], "Donors to score; default: the corpus' test donors, or all where it has none"
)
_LABEL = FLAGS.string("label", "", "Label column to score; default: every one")
_IGNORE = FLAGS.list("ignore_labels", [], "Names that say that a spot has no label")
_WEIGHTS = FLAGS.string(
  "weights", None, "Weights of the image encoder whose features the checkpoint reads"
)
_COMPARE = FLAGS.multi_string(
  "compare", [], "NAME=WORKDIR of another checkpoint to score beside it; can be given several times"
)
_FEATURES = FLAGS.multi_string(
  "features",
  [],
  "NAME=FILE of image features extracted elsewhere, or NAME of features beside the "
  "corpus; can be given several times",
)
_MARKERS = FLAGS.string(
  "markers", "", "GMT file, a set named after each class: annotation without labels"
)
_HOUSEKEEPING = FLAGS.string(
  "genes_housekeeping", "", "Housekeeping genes, one a line; default: ribosomal and mitochondrial"
)
_GENE_SETS = FLAGS.string(
  "gene_sets_held_out", "", "GMT file of gene sets not used in training, evaluated as well"
)
_SECTIONS = FLAGS.list(
  "sections", [], "Sections that figures show; default: three of the donors that are scored"
)
_EXCLUDE = FLAGS.string(
  "exclude", "", "Table (study, donor, version) of donors that must not be scored"
)
_ALLOW_LEAK = FLAGS.bool(
  "allow_leak", False, "Score donors that a checkpoint was trained on; every result will say so"
)


def main() -> None:
  options = _options(suite.known_tasks(_TASKS.value))
  output = Path(_OUTPUT.value)
  require_room(output / "results.json", _ROOM, "--output")
  model = pretrained.load(_CHECKPOINT.value) if _CHECKPOINT.value else None
  corpus = Corpus.open(_CORPUS.value)
  features.made_for(model.features if model else None, corpus, _WEIGHTS.value)
  corpus = corpora.split_as(model, corpus) if model else corpus
  found = suite.evaluate(model, corpus, options)
  command = "python -m experiments.evaluate " + shlex.join(sys.argv[1:])
  leaks = [found.banner.removeprefix("LEAK: ")] if found.banner else []
  origin = page.of(model, corpus, command, leaks)
  results = {
    "command": command,
    "banner": found.banner,
    "notes": list(found.notes),
    "checkpoint": model.describe() if model else None,
    "corpus": {"name": corpus.name, "fingerprint": corpus.fingerprint},
    "rows": [row.to_json() for row in found.rows],
  }
  tables = markdown.markdown(found.rows, leaks)
  with _written(output) as place:
    write_text(place / "results.json", json.dumps(results, indent=1, allow_nan=False))
    write_text(place / "results.md", tables)
  tasks = {row.task for row in found.rows}
  with console.announced("report and figures", "10 to 60 s on a CPU"), _written(output) as place:
    shown = collect.exhibits(found.setting, tasks & set(options.tasks), _SECTIONS.value, found.rows)
    page.write(found.rows, shown, origin, place / "report.html")
    section_figures.write(shown, place / "figures")
  print(markdown.summary(found.rows, leaks))
  print(f"\nevery row: {output / 'results.md'}; with pictures: {output / 'report.html'}")


_ROOM = 32_000_000
"""Bytes: ten times what a report on real sections has taken so far, with its figures."""


@contextlib.contextmanager
def _written(output: Path) -> Iterator[Path]:
  """Files appear in the output all at once, or none of them."""
  with (
    disk_explained(output.parent, "--output", f"about {_ROOM:,} bytes"),
    appearing_in(output) as place,
  ):
    yield place


_RESERVED = (MODEL, UNTRAINED, "random", *BASELINES)
"""How methods of our own begin; another one would be taken for them."""


def _options(tasks: tuple[str, ...]) -> suite.Options:
  if not _CHECKPOINT.value and (_COMPARE.value or not _FEATURES.value):
    raise BadInputError(
      "--checkpoint", "value", "none", "a work directory, or --features alone",
      "name a checkpoint, or features to evaluate without one",
    )  # fmt: skip
  if both := set(_named(_COMPARE)) & set(_named(_FEATURES)):
    raise BadInputError(
      "--features", "name", f"{min(both)!r}, also given to --compare", "a name of its own",
      "rename one of them",
    )  # fmt: skip
  return suite.Options(
    tasks=tasks,
    sections=tuple(_SECTIONS.value),
    donors=tuple(_DONORS.value),
    label=_LABEL.value,
    ignore_labels=tuple(_IGNORE.value),
    compare={name: Path(path) for name, path in _named(_COMPARE).items()},
    features=_named(_FEATURES),
    markers=Path(_MARKERS.value) if _MARKERS.value else None,
    housekeeping=Path(_HOUSEKEEPING.value) if _HOUSEKEEPING.value else None,
    gene_sets=Path(_GENE_SETS.value) if _GENE_SETS.value else None,
    exclude=Path(_EXCLUDE.value) if _EXCLUDE.value else None,
    allow_leak=_ALLOW_LEAK.value,
  )


def _named(flag: flags.FlagHolder) -> dict[str, str]:
  """NAME=VALUE of every time a flag is given."""
  found: dict[str, str] = {}
  for text in flag.value:
    name, is_path, value = text.partition("=")
    beside = flag is _FEATURES and not is_path
    taken = name in found or name.startswith(_RESERVED) or set(name) & set("/@")
    if not name or not (value or beside) or taken:
      raise BadInputError(
        f"--{flag.name}",
        "value",
        repr(text),
        f"NAME=PATH, a new name without '/' or '@' that begins unlike {', '.join(_RESERVED)}",
        "write e.g. --features=uni='embeddings/{section}.h5'"
        if flag is _FEATURES
        else "write e.g. --compare=bleep=runs/bleep",
      )
    found[name] = value
  return found


if __name__ == "__main__":
  entry.run(main, FLAGS)
