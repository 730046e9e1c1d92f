"""Asks one run, or the baselines, what `experiments.ablate` compares.

  python -m experiments.ablation.score --checkpoint=WORKDIR --corpus=CORPUS

writes `scores.json` in the work directory; with `--swap_coordinates` `scores-swapped.json`, for
which the coordinates of each section's spots were swapped among them. With `--baselines=FILE` it
asks the simple baselines, and the untrained model of the checkpoint's shape, instead. Tasks that
the file holds already are not asked again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from absl import flags

from data_pipelines.loading.corpus import Corpus
from experiments import entry, features, gather, inputs, suite
from experiments.ablation import protocols, score_files, swapped
from experiments.ablation.asked import Asked, Method, asked, label_of
from experiments.ablation.planted_protocols import MARKER_MEAN
from experiments.steps import Steps
from hibio import configs, forward, keywords, pretrained
from hibio.tasks import baselines

NOT_ASKED = ("nuclei", "depth")
"""Controls of single tasks in the evaluation."""

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "Work directory of a finished run")
_CORPUS = flags.DEFINE_string("corpus", None, "Prepared corpus")
_LABEL = flags.DEFINE_string("label", "", "Label column; default: the one with most names")
_DONORS = flags.DEFINE_list("donors", [], "Donors to score; default: the test donors")
_TASKS = flags.DEFINE_list("tasks", list(protocols.TASKS), "Tasks to ask")
_BASELINES = flags.DEFINE_string("baselines", "", "File for the baselines' answers")
_SWAP = flags.DEFINE_bool("swap_coordinates", False, "Swap the coordinates of each section's spots")


def main() -> None:
  corpus = Corpus.open(entry.required(_CORPUS))
  model = pretrained.load(entry.required(_CHECKPOINT))
  label = label_of(corpus, _LABEL.value)
  donors = suite.scored_donors(corpus, tuple(_DONORS.value))
  suite.guarded({"hibio": model}, corpus, donors, suite.Options())
  about = score_files.question(corpus, label, donors)
  questions = functools.partial(asked, corpus, donors, label)
  if _BASELINES.value:
    about |= score_files.about_untrained(model.meta["config"])
    _answer(Path(_BASELINES.value), about, lambda: of_baselines(model, questions()))
  else:
    name = score_files.SWAPPED if _SWAP.value else score_files.NAME
    windows = swapped.swapped_windows if _SWAP.value else gather.every_window
    about |= score_files.about_run(model.meta["step"])
    _answer(model.workdir / name, about, lambda: of_run(model, questions(), windows))


Answering = tuple[Asked, list[Method]]
"""Questions with the features of those who answer, and who they are."""


def of_run(model: pretrained.Pretrained, questions: Asked, windows: gather.Windows) -> Answering:
  """A run, by what it sees in these windows."""
  # On the device before the first use: else the same function is compiled twice.
  params = jax.device_put(inputs.params_over(model, questions.corpus), jax.devices()[0])
  frozen = forward.frozen(model.model)
  method = Method("hibio", params, frozen, model.model.config.keywords)
  answered = _embedded(questions, method, windows)
  if windows is not gather.every_window:
    # What is not asked of the embeddings would be as it was.
    method = Method("hibio", params)
  return answered, [method]


def of_baselines(model: pretrained.Pretrained, questions: Asked) -> Answering:
  """The untrained model of the same shape, simple features, and every keyword score."""
  first = inputs.first_window(questions.corpus)
  params = forward.initial_params(model.model, first, questions.tables, model.seed)
  frozen = forward.frozen(model.model)
  untrained = Method("untrained", params, frozen, model.model.config.keywords)
  questions = _embedded(questions, untrained, gather.every_window)
  cohort = features.with_baselines(questions.cohort, questions.folds, {})
  fit = features.unscored(cohort, questions.folds)
  found = dict(cohort.features)
  found["raw top-50/gene"] = baselines.expression_pca(
    baselines.highest_counts(fit), baselines.highest_counts(cohort)
  )
  if "colour/image" in found and len(questions.questions.folds) == len(questions.folds) > 0:
    ridge = features.components_from_colour(cohort, questions.folds)
    found |= {"colour ridge to pca/image": ridge, "colour ridge to pca/gene": found["pca/gene"]}
  names = dict.fromkeys(feature.partition("/")[0] for feature in found)
  simple = [Method(name) for name in names if name not in (untrained.name, *NOT_ASKED)]
  scores = [Method(score, keywords=configs.KeywordConfig(score=score)) for score in keywords.SCORES]
  return questions.with_features(found), [untrained, *simple, MARKER_MEAN, *scores]


def _answer(path: Path, about: dict[str, Any], answering: Callable[[], Answering]) -> None:
  """Asks what is missing in the file; each task is kept as soon as it is answered."""
  scores = score_files.read(path, about)
  missing = scores.missing(_TASKS.value)
  if not missing:
    return
  steps = Steps("score", {"embeddings": 3.0, **dict.fromkeys(missing, 1.0)})
  with steps.part("embeddings"):
    questions, methods = answering()
  for task in missing:
    with steps.part(task), suite.threads(len(questions.corpus.spots)):
      rows = [row for method in methods for row in protocols.TASKS[task](questions, method)]
    scores = score_files.Scores(about, {**scores.tasks, task: rows})
    score_files.write(path, scores)


def _embedded(questions: Asked, method: Method, windows: gather.Windows) -> Asked:
  return questions.answered(
    gather.with_model(
      questions.cohort, questions.corpus, method.name, method.frozen, method.params,
      questions.tables, questions.readout_genes, windows,
    )
  )  # fmt: skip


if __name__ == "__main__":
  entry.run(main)
