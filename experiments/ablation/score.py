"""Asks one run, or the baselines, what `experiments.ablate` compares.

  python -m experiments.ablation.score --checkpoint=WORKDIR --corpus=CORPUS

writes `scores.json` in the work directory; with `--swap_coordinates` `scores-swapped.json`, for
which the coordinates of each section's spots were swapped among them. With `--baselines=FILE` it
asks the simple baselines, and the untrained model of the checkpoint's shape, instead. Tasks that
the file holds already are not asked again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from data_pipelines import entry
from data_pipelines.console import Parts
from data_pipelines.loading.corpus import Corpus
from experiments.ablation import score_files, swapped
from hibio import corpora, features, pretrained
from hibio.evaluation import compared, scope, suite
from hibio.evaluation import setting as setting_
from hibio.evaluation.setting import Setting

FLAGS = entry.Flags(__doc__)
_CHECKPOINT = FLAGS.string("checkpoint", None, "Work directory of a finished run", required=True)
_CORPUS = FLAGS.string("corpus", None, "Prepared corpus", required=True)
_LABEL = FLAGS.string("label", "", "Label column; default: the one with most names")
_DONORS = FLAGS.list("donors", [], "Donors to score; default: the test donors")
_TASKS = FLAGS.list("tasks", list(suite.COMPARED), "Tasks to ask")
_BASELINES = FLAGS.string("baselines", "", "File for the baselines' answers")
_SWAP = FLAGS.bool("swap_coordinates", False, "Swap the coordinates of each section's spots")


def main() -> None:
  model = pretrained.load(_CHECKPOINT.value)
  corpus = Corpus.open(_CORPUS.value)
  features.made_for(model.features, corpus)
  corpus = corpora.split_as(model, corpus)
  label = scope.label_of(corpus, _LABEL.value)
  donors = scope.scored_donors(corpus, tuple(_DONORS.value))
  suite.guarded({"hibio": model}, corpus, donors, suite.Options())
  about = score_files.question(corpus, label, donors)

  def asked() -> Setting:
    labels = (label,) if label else ()
    return setting_.read(
      model, corpus, donors, labels, thorough=False, of_patches=bool(_BASELINES.value)
    )

  if _BASELINES.value:
    read = model.features["hash"] if model.features else None
    about |= score_files.about_untrained(model.meta["config"], read)
    _answer(Path(_BASELINES.value), about, lambda: compared.with_others(asked()))
  else:
    name = score_files.SWAPPED if _SWAP.value else score_files.NAME
    windows = swapped.swapped_windows if _SWAP.value else None
    about |= score_files.about_run(model.meta["step"])
    _answer(model.workdir / name, about, lambda: compared.with_checkpoint(asked(), windows))


def _answer(path: Path, about: dict[str, Any], prepare: Callable[[], Setting]) -> None:
  """Asks what is missing in the file; each task is kept as soon as it is answered."""
  scores = score_files.read(path, about)
  missing = scores.missing(_TASKS.value)
  if not missing:
    return
  parts = Parts("score", {"embeddings": 3.0, **dict.fromkeys(missing, 1.0)})
  with parts.part("embeddings"):
    setting = prepare()
  for task in missing:
    with parts.part(task):
      rows = suite.ask(setting, task)
    scores = score_files.Scores(about, {**scores.tasks, task: rows})
    score_files.write(path, scores)


if __name__ == "__main__":
  entry.run(main, FLAGS)
