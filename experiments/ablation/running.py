"""Trains and scores what is missing of an ablation; what is there already is left as it is."""

from __future__ import annotations

import dataclasses
import itertools
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_pipelines.files import write_text
from data_pipelines.loading.corpus import Corpus
from experiments.ablation import jobs, score_files
from experiments.ablation.comparison import REFERENCE
from experiments.ablation.folds import Split
from experiments.ablation.plan import Run
from experiments.ablation.pooling import left_out_of, pooled, with_every_fold
from experiments.ablation.tables import SWAPPED
from hibio import features
from hibio.evaluation import suite
from hibio.evaluation.rows import Row
from hibio.training import metrics
from hibio.training import workdir as workdirs

FINISHED = "ablation.json"
"""In a run's work directory: the config and corpus that it was trained to the end with."""

ELSEWHERE = ("workdir", "corpus", "synthetic", "num_threads")
"""Keys that say where and how fast, and nothing of what is learned."""


@dataclasses.dataclass(frozen=True)
class Question:
  """What all runs are asked.

  Attributes:
    tasks: names in `suite.TASKS`.
    swap: also ask the default with swapped coordinates.
  """

  corpus: Corpus
  label: str
  donors: tuple[str, ...]
  tasks: tuple[str, ...] = tuple(suite.COMPARED)
  swap: bool = False

  def of(self, split: Split | None) -> Question:
    """The same of a run that does not see this."""
    if split is None:
      return self
    donors = split.test or self.donors
    return dataclasses.replace(self, corpus=split.of(self.corpus), donors=donors)

  @property
  def about(self) -> dict:
    return score_files.question(self.corpus, self.label, self.donors)

  def arguments(self, workdir: Path, *more: str) -> tuple[str, ...]:
    """Of the command that asks one run."""
    return (
      "experiments.ablation.score", f"--checkpoint={workdir}", f"--corpus={self.corpus.path}",
      f"--label={self.label}", f"--donors={','.join(self.donors)}",
      f"--tasks={','.join(self.tasks)}", *more,
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Results:
  """What there is to compare.

  Attributes:
    answers: preset -> seed -> rows, over all folds.
    baselines: rows of the untrained model and of simple methods, over all folds.
    failures: run -> why it has no figures.
    costs: preset -> median seconds a step, over the runs of this preset.
  """

  answers: dict[str, dict[int, list[Row]]]
  baselines: list[Row]
  failures: dict[str, str]
  costs: dict[str, float]


def complete(runs: Sequence[Run], question: Question, output: Path, at_once: int) -> Results:
  """Does all that is missing, then reads every answer.

  Raises:
    RunStopped: status 75 after a request to stop.
  """
  of_split = {split: question.of(split) for split in {run.split: None for run in runs}}
  asked = {run.name: (run, of_split[run.split]) for run in runs}
  outcomes = jobs.run(
    [job for pair in asked.values() if (job := _job(*pair)) is not None],
    at_once,
    lambda outcome: outcome.status or _stamp(*asked[outcome.name]),
  )
  failures = {one.name: _why(one) for one in outcomes if one.status}
  whole = [pair for name, pair in asked.items() if name not in failures]
  examples = _one_a_fold(whole)
  todo = [job for pair in examples if (job := _baselines_job(*pair, output)) is not None]
  failed = {one.name: _why(one) for one in jobs.run(todo, at_once) if one.status}
  return _read(runs, whole, examples, output, failures | failed)


def _one_a_fold(whole: Sequence[tuple[Run, Question]]) -> list[tuple[Run, Question]]:
  """For each fold a run that stands for it: of those trained on most, the first."""
  best: dict[str, tuple[Run, Question]] = {}
  for run, question in sorted(whole, key=lambda pair: -_num_training(pair[1].corpus)):
    best.setdefault(_fold(run), (run, question))
  return list(best.values())


def _num_training(corpus: Corpus) -> int:
  return sum(section["split"] == "train" for section in corpus.manifest["sections"])


def _fold(run: Run) -> str:
  return run.split.name if run.split else ""


def _job(run: Run, question: Question) -> jobs.Job | None:
  """What has to be done for a run; None where it is trained and scored."""
  commands = []
  if not _is_finished(run, question):
    commands.append(("experiments.pretrain", *run.arguments))
  for name, more in _score_files(run, question).items():
    if _scores(run, question, name).missing(question.tasks):
      commands.append(question.arguments(run.workdir, *more))
  return jobs.Job(run.name, tuple(commands), run.workdir / "log.txt") if commands else None


def _score_files(run: Run, question: Question) -> dict[str, tuple[str, ...]]:
  """File -> further arguments of the command that writes it."""
  swapped = question.swap and run.preset == REFERENCE
  return {score_files.NAME: ()} | (
    {score_files.SWAPPED: ("--swap_coordinates",)} if swapped else {}
  )


def _scores(run: Run, question: Question, name: str) -> score_files.Scores:
  about = question.about | score_files.about_run(run.config["training"]["num_steps"])
  return score_files.read(run.workdir / name, about)


def _baselines_job(run: Run, question: Question, output: Path) -> jobs.Job | None:
  path = _baselines_file(run, output)
  if not _baselines(run, question, output).missing(question.tasks):
    return None
  command = question.arguments(run.workdir, f"--baselines={path}")
  name = "baselines" + (f" without {_fold(run)}" if _fold(run) else "")
  return jobs.Job(name, (command,), path.with_name(f"{path.stem}-log.txt"))


def _baselines_file(run: Run, output: Path) -> Path:
  path = output / score_files.BASELINES
  return path.with_stem(f"{path.stem}-{_fold(run)}") if _fold(run) else path


def _baselines(run: Run, question: Question, output: Path) -> score_files.Scores:
  config = workdirs.config(run.workdir)
  about = question.about | score_files.about_untrained(config, _features(run, question))
  return score_files.read(_baselines_file(run, output), about)


def _features(run: Run, question: Question) -> str | None:
  """Hash of the features that a run reads, if it reads any."""
  if not run.config.get("features"):
    return None
  encoder = question.corpus.feature_store(run.config["features"]).encoder
  return encoder["hash"] if encoder else features.NOT_READ


def _is_finished(run: Run, question: Question) -> bool:
  try:
    return json.loads((run.workdir / FINISHED).read_text()) == _finished(run, question)
  except (OSError, ValueError):
    return False


def _stamp(run: Run, question: Question) -> None:
  content = json.dumps(_finished(run, question), indent=1)
  write_text(run.workdir / FINISHED, content)


def _finished(run: Run, question: Question) -> dict:
  learned = {key: value for key, value in run.config.items() if key not in ELSEWHERE}
  return {"config": learned, "corpus": question.corpus.fingerprint}


def _why(outcome: jobs.Outcome) -> str:
  return f"status {outcome.status}: {outcome.said or 'nothing was said'}"


def _read(
  runs: Sequence[Run],
  whole: Sequence[tuple[Run, Question]],
  examples: Sequence[tuple[Run, Question]],
  output: Path,
  failures: dict[str, str],
) -> Results:
  answers: dict[str, dict[int, dict[str, list[Row]]]] = {}
  seconds: dict[str, list[float]] = {}
  for run, question in whole:
    for name in _score_files(run, question):
      preset = run.preset + (SWAPPED if name == score_files.SWAPPED else "")
      rows = _scores(run, question, name).rows
      answers.setdefault(preset, {}).setdefault(run.seed, {})[_fold(run)] = rows
    seconds.setdefault(run.preset, []).extend(step_seconds(run.workdir))
  simple = {_fold(run): _baselines(run, question, output).rows for run, question in examples}
  folds: dict[tuple[str, int], set[str]] = {}
  for run in runs:
    for name in (run.preset, run.preset + SWAPPED):
      folds.setdefault((name, run.seed), set()).add(_fold(run))
  kept, left_out = with_every_fold(answers, folds)
  simple = {fold: rows for fold, rows in simple.items() if rows}
  missing = {_fold(run) for run in runs} - set(simple)
  if simple and missing:
    simple, left_out["baselines"] = {}, left_out_of(missing)
  costs = {name: statistics.median(values) for name, values in seconds.items() if values}
  return Results(
    {name: {seed: _over_folds(found) for seed, found in by_seed.items()}
     for name, by_seed in kept.items()},
    _over_folds(simple), failures | left_out, costs,
  )  # fmt: skip


def _over_folds(by_fold: Mapping[str, Sequence[Row]]) -> list[Row]:
  """The rows of all folds as one answer; as they are where nothing was held out in turn."""
  return pooled(by_fold) if any(by_fold) else list(by_fold.get("", ()))


def step_seconds(workdir: Path) -> list[float]:
  """Seconds a step of every line of a run but the first, where nothing else was done meanwhile."""
  return [
    line["seconds"] / (line["step"] - before["step"])
    for before, line in itertools.pairwise(metrics.read(workdir))
    if not any(map(_is_beside, line))
  ]


def _is_beside(name: str) -> bool:
  """Whether a line with this key tells of more than steps."""
  return name.startswith(("held_out/", "regions/"))
