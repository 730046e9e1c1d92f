"""Which level of the method adds what: presets, several seeds each, compared pair by pair.

  python -m experiments.ablate --presets=default,no_tfidf,no_pathway,no_region --seeds=3 \\
    --corpus=CORPUS --output=DIR [--config=experiments/hibio.py[:VARIANTS]] [--jobs=2]

Trains every preset with every seed, asks all of them the same questions about donors that none was
trained on, and writes `ablation.md`, `ablation.json` and figures. Running the command again goes on
where it stopped; what is finished is not done again. One run that fails stops no other.

With `--hold_out=section` or `donor` every preset and seed is trained once for each section or
donor, without it, and scored on it; the answers are taken together. `--hold_out=section:C2,C3`
holds out these in turn, `--hold_out=A1+C2,A2+C3` two at a time. `--train_sections=1,2,4` trains on
so many sections alone and draws what more of them are worth.

A preset is a name of `experiments/presets.py`, several joined by colons, or with keys set beside:
`default:model.keywords.num_keywords=250`. Presets that differ in one number are also drawn over it.
`--config.KEY=VALUE` sets a key in all runs.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ml_collections import config_flags

from data_pipelines import entry
from data_pipelines.files import write_text
from data_pipelines.loading import splitting
from data_pipelines.loading.corpus import Corpus
from data_pipelines.problems import EXIT_BAD_INPUT, BadInputError
from experiments.ablation import (
  comparison,
  figures,
  folds,
  measures,
  plan,
  running,
  tables,
)
from hibio import features
from hibio.evaluation import scope, suite

FLAGS = entry.Flags(__doc__)
_CONFIG = FLAGS.config_file("config", "experiments/hibio.py", "What all runs begin with")
_PRESETS = FLAGS.list(
  "presets", None, "Presets to compare; `default` is the reference", required=True
)
_SEEDS = FLAGS.integer("seeds", 3, "Seeds of each preset", lower_bound=1)
_CORPUS = FLAGS.string(
  "corpus", None, "Prepared corpus that is trained and scored on", required=True
)
_OUTPUT = FLAGS.string("output", None, "Folder for runs, ablation.md, ablation.json", required=True)
_JOBS = FLAGS.integer("jobs", 1, "Runs side by side, each on its cores", lower_bound=1)
_TASKS = FLAGS.list("tasks", list(suite.COMPARED), f"Some of {', '.join(suite.TASKS)}")
_LABEL = FLAGS.string("label", "", "Label column; default: the one with most names")
_DONORS = FLAGS.list("donors", [], "Donors to score; default: the test donors")
_HOLD_OUT = FLAGS.string(
  "hold_out", "", "What runs do not see, in turn: donor, section, section:C2,C3 or A1+C2,A2+C3"
)
_TRAIN_SECTIONS = FLAGS.list(
  "train_sections", [], "Numbers of sections to train on, for a learning curve"
)
_SWAP = FLAGS.bool(
  "swap_coordinates", False, "Also score the default with coordinates swapped in each section"
)


def main() -> None:
  tasks = suite.known_tasks(_TASKS.value)
  output = Path(_OUTPUT.value)
  corpus = Corpus.open(_CORPUS.value)
  base = plan.Base.of(
    config_flags.get_config_filename(FLAGS["config"]),
    config_flags.get_override_values(FLAGS["config"]),
  )
  if _HOLD_OUT.value and _DONORS.value:
    raise BadInputError(
      "--donors",
      "use",
      "given with --hold_out",
      "one of the two",
      "name them in --hold_out=donor:A,B",
    )
  divided = _splits(corpus) if _HOLD_OUT.value or _TRAIN_SECTIONS.value else None
  runs = plan.runs(
    base, _PRESETS.value, _SEEDS.value, corpus.path.absolute(), output.absolute(), divided
  )
  for name in sorted({run.config.get("features") or "" for run in runs} - {""}):
    features.added(corpus, name)  # once, before runs side by side would all begin with it
  question = running.Question(
    corpus,
    scope.label_of(corpus, _LABEL.value),
    scope.scored_donors(corpus, tuple(_DONORS.value)),
    tasks,
    _SWAP.value,
  )
  results = running.complete(runs, question, output, _JOBS.value)
  if not results.answers:
    _fail(results.failures, f"no run has figures; logs: {output / plan.RUNS}")
  _write(output, base, runs, question, results)
  if results.failures:
    _fail(results.failures, f"the others are compared in {output / 'ablation.md'}")


def _splits(corpus: Corpus) -> Callable[[int], list[folds.Split]]:
  """Seed -> what each run of a preset is trained on and scored on."""
  sizes = [_whole_number(text) for text in _TRAIN_SECTIONS.value]
  whole = folds.splits(corpus, _HOLD_OUT.value) if _HOLD_OUT.value else [folds.as_prepared(corpus)]

  def of_seed(seed: int) -> list[folds.Split]:
    if not sizes:
      return whole
    return [one for split in whole for one in folds.with_sizes(corpus, split, sizes, seed)]

  return of_seed


def _whole_number(text: str) -> int:
  if text.isdecimal() and int(text) > 0:
    return int(text)
  raise BadInputError(
    "--train_sections", "number", repr(text), "whole numbers of sections", "write e.g. 1,2,4"
  )


def _write(
  output: Path,
  base: plan.Base,
  runs: Sequence[plan.Run],
  question: running.Question,
  results: running.Results,
) -> None:
  command = "python -m experiments.ablate " + shlex.join(sys.argv[1:])
  sections = question.corpus.manifest["sections"]
  donor_of = {section["section_id"]: splitting.patient_of(section) for section in sections}
  found = comparison.compare(results.answers, results.baselines, donor_of)
  presets = {run.asked: run for run in runs}
  changed = {name: plan.changes(base, name) for name in presets}
  scored = _scored(runs, question)
  content = {
    "command": command,
    "corpus": {"name": question.corpus.name, "fingerprint": question.corpus.fingerprint},
    "label": question.label,
    "scored": scored,
    "measures": {m.name: dataclasses.asdict(m) for m in measures.MEASURES},
    **found.to_json(),
    "seconds_per_step": results.costs,
    "changed": changed,
    "failures": results.failures,
  }
  heading = (
    f"# Ablation on {question.corpus.name}\n\n`{command}`\n\nScored: {scored}; label"
    f" {question.label or 'none'}."
  )
  text = tables.markdown(found, heading, results.failures, results.costs, changed)
  write_text(output / "ablation.json", json.dumps(content, indent=1, allow_nan=False))
  write_text(output / "ablation.md", text)
  _draw(output, found, runs)
  print(text)
  print(f"every figure: {output / 'ablation.json'}")


def _scored(runs: Sequence[plan.Run], question: running.Question) -> str:
  """Who is scored, in words."""
  held_out = list(dict.fromkeys(run.split.name for run in runs if run.split and run.split.name))
  if not held_out:
    return f"donors {', '.join(question.donors)}"
  said = [scope.described(run.split.of(question.corpus), run.split.test) for run in runs]
  same = scope.SAME_PATIENT if any(scope.SAME_PATIENT in one for one in said) else ""
  unit = runs[0].split.unit
  return f"{unit}s {', '.join(held_out)}, each by runs that were not trained on it{same}"


def _draw(output: Path, found: comparison.Comparison, runs: Sequence[plan.Run]) -> None:
  figures.save(figures.forest(found), output / "ablation.png")
  configs = {run.asked: plan.flat(run.config) for run in runs}
  for key, values in figures.sweeps(list(configs), configs).items():
    figures.save(figures.sweep(found, key, values), output / f"sensitivity_{key}.png")
  curves: dict[str, dict[int, str]] = {}
  for run in runs:
    if run.split and run.split.train:
      curves.setdefault(run.asked, {})[len(run.split.train)] = run.preset
  figures.save(figures.learning_curve(found, curves), output / "learning_curve.png")


def _fail(failures: Mapping[str, str], rest: str) -> None:
  """Ends with status 1, or 3 where all that failed was refused, after a line for each."""
  for name, why in failures.items():
    print(f"ablate: {name}: {why}", file=sys.stderr)
  print(f"ablate: {len(failures)} failed; {rest}", file=sys.stderr)
  refused = all(why.startswith(f"status {EXIT_BAD_INPUT}:") for why in failures.values())
  sys.exit(EXIT_BAD_INPUT if refused else 1)


if __name__ == "__main__":
  entry.run(main, FLAGS)
