"""Trains and scores what is missing of an ablation; what is there already is left as it is."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Sequence
from pathlib import Path

from data_pipelines.files import write_text
from data_pipelines.loading.corpus import Corpus
from experiments.ablation import jobs, score_files
from experiments.ablation.comparison import REFERENCE
from experiments.ablation.plan import Run
from experiments.ablation.tables import SWAPPED
from hibio.evaluation import suite
from hibio.evaluation.rows import Row
from hibio.training import metrics

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

  @property
  def split(self) -> str:
    return "donors " + ", ".join(self.donors)

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
    answers: preset -> seed -> rows.
    baselines: rows of the untrained model and of simple methods.
    failures: run -> why it has no figures.
    costs: preset -> median seconds a step, over the runs of this preset.
  """

  answers: dict[str, dict[int, list[Row]]]
  baselines: list[Row]
  failures: dict[str, str]
  costs: dict[str, float]


def complete(
  runs: Sequence[Run], question: Question, output: Path, at_once: int, environment: dict[str, str]
) -> Results:
  """Does all that is missing, then reads every answer.

  Raises:
    RunStopped: status 75 after a request to stop.
  """
  by_name = {run.name: run for run in runs}
  outcomes = jobs.run(
    [job for run in runs if (job := _job(run, question)) is not None],
    at_once,
    environment,
    lambda outcome: outcome.status or _stamp(by_name[outcome.name], question),
  )
  failures = {one.name: _why(one) for one in outcomes if one.status}
  whole = [run for run in runs if run.name not in failures]
  if whole:
    baselines = _baselines_job(whole[0], question, output)
    for one in jobs.run([baselines] if baselines else [], 1, environment):
      if one.status:
        failures["baselines"] = _why(one)
  return _read(whole, question, output, failures)


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
  path = output / score_files.BASELINES
  if not _baselines(run, question, output).missing(question.tasks):
    return None
  command = question.arguments(run.workdir, f"--baselines={path}")
  return jobs.Job("baselines", (command,), output / "baselines-log.txt")


def _baselines(run: Run, question: Question, output: Path) -> score_files.Scores:
  config = json.loads((run.workdir / "config.json").read_text())
  about = question.about | score_files.about_untrained(config)
  return score_files.read(output / score_files.BASELINES, about)


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
  whole: Sequence[Run], question: Question, output: Path, failures: dict[str, str]
) -> Results:
  answers: dict[str, dict[int, list[Row]]] = {}
  seconds: dict[str, list[float]] = {}
  for run in whole:
    for name in _score_files(run, question):
      preset = run.preset + (SWAPPED if name == score_files.SWAPPED else "")
      answers.setdefault(preset, {})[run.seed] = _scores(run, question, name).rows
    seconds.setdefault(run.preset, []).extend(step_seconds(run.workdir))
  found = _baselines(whole[0], question, output).rows if whole else []
  costs = {name: statistics.median(values) for name, values in seconds.items() if values}
  return Results(answers, found, failures, costs)


def step_seconds(workdir: Path) -> list[float]:
  """Seconds a step between every two lines of a run, where nothing else was done in between."""
  lines = metrics.read(workdir)
  return [
    (after["seconds"] - before["seconds"]) / (after["step"] - before["step"])
    for before, after in zip(lines, lines[1:], strict=False)
    if after["seconds"] > before["seconds"] and not any(map(_is_beside, after))
  ]


def _is_beside(name: str) -> bool:
  """Whether a line with this key tells of more than steps."""
  return name.startswith(("held_out/", "regions/"))
