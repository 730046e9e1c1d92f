"""The answers of one run, or of the baselines, kept on disk: what is there is not asked again."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_pipelines.files import write_text
from data_pipelines.loading.corpus import Corpus
from hibio.evaluation.rows import Row

NAME, SWAPPED, BASELINES = "scores.json", "scores-swapped.json", "baselines.json"


@dataclasses.dataclass(frozen=True)
class Scores:
  """Answers.

  Attributes:
    about: what was asked of whom: corpus, label, donors, checkpoint. Other answers to another
      question are not these.
    tasks: name -> rows.
  """

  about: Mapping[str, Any]
  tasks: Mapping[str, Sequence[Row]]

  @property
  def rows(self) -> list[Row]:
    return [row for rows in self.tasks.values() for row in rows]

  def missing(self, tasks: Sequence[str]) -> tuple[str, ...]:
    """Those of `tasks` that have not been answered."""
    return tuple(task for task in tasks if task not in self.tasks)


def read(path: Path, about: Mapping[str, Any]) -> Scores:
  """What has been answered of these questions; nothing where the file is of others, or torn."""
  try:
    content = json.loads(path.read_text())
    if content["about"] == json.loads(json.dumps(about)):
      rows = {task: [Row(**row) for row in rows] for task, rows in content["tasks"].items()}
      return Scores(content["about"], rows)
  except (OSError, ValueError, KeyError, TypeError):
    pass
  return Scores(dict(about), {})


def write(path: Path, scores: Scores) -> None:
  """Puts the file in place, whole."""
  content = {
    "about": scores.about,
    "tasks": {task: [row.to_json() for row in rows] for task, rows in scores.tasks.items()},
  }
  write_text(path, json.dumps(content, indent=1, allow_nan=False))


def question(corpus: Corpus, label: str, donors: tuple[str, ...]) -> dict[str, Any]:
  """What the answers are about, whoever gives them."""
  return {"corpus": corpus.fingerprint, "label": label, "donors": list(donors)}


def about_run(step: int) -> dict[str, Any]:
  """And whose answers they are: a run's."""
  return {"step": step}


def about_untrained(config: Mapping[str, Any], features: str | None) -> dict[str, Any]:
  """And whose answers they are: the baselines', one of which is the untrained model.

  Args:
    features: hash of those that the model reads, and some of the baselines; None for none.
  """
  seed = config["training"]["seed"]
  return {"untrained": {"model": config["model"], "seed": seed, "features": features}}
