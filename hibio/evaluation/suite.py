"""The one driver of evaluation: `evaluate`, `ablate`, `finetune` ask the same tasks."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import sklearn
from threadpoolctl import threadpool_limits

from data_pipelines.console import Parts, Progress
from data_pipelines.loading.corpus import Corpus
from data_pipelines.problems import BadInputError
from hibio import corpora, pretrained
from hibio.evaluation import (
  anchors,
  compared,
  gene_sets,
  keywords,
  leakage,
  methods,
  published,
  regions,
  scope,
  tasks,
)
from hibio.evaluation import setting as setting_
from hibio.evaluation.baselines import COMPONENTS
from hibio.evaluation.methods import MODEL, UNTRAINED, Method
from hibio.evaluation.rows import Row
from hibio.evaluation.setting import Setting

TASKS: dict[str, Callable[[Setting, Method], Iterator[Row]]] = {
  "expression": tasks.predict_expression,
  "domains": tasks.find_domains,
  "pooled_domains": tasks.find_pooled_domains,
  "annotation": tasks.annotate,
  "zero_shot": tasks.annotate_by_gene_sets,
  "retrieval": tasks.retrieve_spots,
  "region_retrieval": tasks.retrieve_regions,
  "contrast": tasks.measure_contrasts,
  "keywords": keywords.rows,
  "anchors": anchors.rows,
  "regions": regions.rows,
}
"""Name -> what it asks a method. A task asks only what the method has features for."""

COMPARED = (
  "expression", "domains", "pooled_domains", "annotation", "zero_shot", "retrieval",
  "region_retrieval", "contrast", "keywords",
)  # fmt: skip
"""What an ablation asks by default."""

EVALUATED = (
  "expression", "domains", "annotation", "zero_shot", "retrieval", "contrast", "keywords",
  "anchors", "regions",
)  # fmt: skip
"""What an evaluation asks by default."""

BY_REGION_TOO = ("annotation", "zero_shot")
"""What is asked of regions as well as of spots; for the other tasks none are drawn for it."""

OF_FEATURES = (
  "expression", "domains", "pooled_domains", "annotation", "zero_shot", "retrieval",
  "region_retrieval",
)  # fmt: skip
"""What can be asked of features without a checkpoint."""

_FEW_SPOTS = 30_000

_WEIGHTS = {"expression": 2.5, "domains": 7.0, "annotation": 5.0, "retrieval": 0.5}
"""Rough shares of the time, for the time that is left."""


def known_tasks(names: Sequence[str]) -> tuple[str, ...]:
  """The names of tasks that a user gave.

  Raises:
    BadInputError: one of them is not in `TASKS`.
  """
  for name in names:
    if name not in TASKS:
      raise BadInputError(
        "--tasks", "task", repr(name), f"some of {', '.join(TASKS)}", "correct the name"
      )
  return tuple(names)


def ask(setting: Setting, task: str) -> list[Row]:
  """The answers of every method that the task is asked of."""
  asked = [one for one in setting.methods if one.tasks is None or task in one.tasks]
  sizes = [max(len(setting.features_of(method)), 1) for method in asked]
  progress, rows = Progress(task, sum(sizes), "features"), []
  with threads(len(setting.corpus.spots)):
    for method, size in zip(asked, sizes, strict=True):
      rows += TASKS[task](setting.of(method), method)
      progress.add(size, method.name)
  return rows


@dataclasses.dataclass(frozen=True)
class Options:
  """What is asked of an evaluation.

  Attributes:
    tasks: names in `TASKS`.
    donors: who is scored; by default the corpus' test donors, or all where it has none.
    sections: that figures show; by default a few of the scored donors.
    label: the label column to score; empty for every one.
    ignore_labels: names that say that there is no label, beside the usual ones.
    compare: name -> work directory of another checkpoint that goes through the same code.
    features: name -> file of image features that somebody else extracted; "" for features of this
      name that lie beside the corpus.
    markers: GMT file that describes classes, for zero-shot annotation.
    housekeeping: list of housekeeping genes; by default what is known without one.
    gene_sets: GMT file of gene sets whose anchors are asked, too.
    exclude: a lab's table of donors that must not be scored.
    allow_leak: score donors that the checkpoint was trained on; every result then says so.
  """

  tasks: tuple[str, ...] = EVALUATED
  donors: tuple[str, ...] = ()
  sections: tuple[str, ...] = ()
  label: str = ""
  ignore_labels: tuple[str, ...] = ()
  compare: Mapping[str, Path] = dataclasses.field(default_factory=dict)
  features: Mapping[str, str] = dataclasses.field(default_factory=dict)
  markers: Path | None = None
  housekeeping: Path | None = None
  gene_sets: Path | None = None
  exclude: Path | None = None
  allow_leak: bool = False


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """Results and what they were made of, for tables and figures.

  Attributes:
    rows: every result.
    setting: the model, the cohort with every method's features, folds, labels, regions.
    banner: "LEAK: ..." where something scored was trained on; else empty.
    notes: what else a reader should know of donors.
  """

  rows: list[Row]
  setting: Setting
  banner: str
  notes: tuple[str, ...]


def evaluate(model: pretrained.Pretrained | None, corpus: Corpus, options: Options) -> Evaluation:
  """Every task that the corpus' labels and images allow, on donors that are held out.

  Args:
    model: None to evaluate features alone: what needs a model is then left out.

  Raises:
    BadInputError: another gene panel than the checkpoint's, a donor or label that the corpus does
      not have, or a scored donor that a checkpoint was trained on.
  """
  models = {n: pretrained.load(p) for n, p in options.compare.items()}
  models = {MODEL: model, **models} if model else {}
  asked = options.tasks if model else tuple(t for t in options.tasks if t in OF_FEATURES)
  donors = scope.scored_donors(corpus, options.donors)
  scope.check_sections(corpus, donors, options.sections)
  banner, notes = guarded(models, corpus, donors, options)
  labels = scope.labels_of(corpus, options.label)
  parts = Parts(
    "evaluate",
    {
      "spots and patches": 2.0,
      **{f"embeddings of {name}": 1.0 for name in ((*models, UNTRAINED) if model else ())},
      "baselines": 2.0,
      **{task: _WEIGHTS.get(task, 0.5) for task in asked},
    },
  )
  amount = f"{len(corpus.spots):,} spots"
  with parts.part("spots and patches", amount):
    setting = setting_.read(
      model, corpus, donors, labels,
      markers=gene_sets.markers(options.markers, corpus.panel) if options.markers else None,
      held_out_sets=gene_sets.held_out(options.gene_sets, corpus) if options.gene_sets else None,
      genes_housekeeping=options.housekeeping, ignore_labels=options.ignore_labels,
    )  # fmt: skip
  for method in methods.of_models(models, corpus) if model else ():
    with parts.part(f"embeddings of {method.name}", amount):
      setting = setting.with_model(method)
  with parts.part("baselines", amount):
    setting = compared.with_baselines(setting, options.features)
    if set(asked) & set(BY_REGION_TOO):
      for name in (MODEL, COMPONENTS) if model else (COMPONENTS,):
        setting = setting.with_region_means(name)
    setting = compared.beside_components(setting)
  rows = []
  for task in asked:
    with parts.part(task):
      rows += ask(setting, task)
  if "domains" in options.tasks and "dlpfc" in corpus.name.lower():
    rows += published.rows()
  return Evaluation(rows, setting, banner, notes)


@contextlib.contextmanager
def threads(num_spots: int) -> Iterator[None]:
  """Thousands of fits of few spots: threads would wait for each other, and checks take longer than
  what they check."""
  limits = 1 if num_spots < _FEW_SPOTS else None
  with (
    threadpool_limits(limits=limits),
    sklearn.config_context(assume_finite=True, skip_parameter_validation=True),
  ):
    yield


def guarded(
  models: Mapping[str, pretrained.Pretrained],
  corpus: Corpus,
  donors: tuple[str, ...],
  options: Options,
) -> tuple[str, tuple[str, ...]]:
  """The leak banner and notes of all checkpoints together.

  Raises:
    BadInputError: a checkpoint with another panel or other features; a scored donor that is on a
      lab's list or that a checkpoint was trained on.
  """
  listed = leakage.read(options.exclude) if options.exclude else []
  reasons, notes = leakage.excluded(listed, corpus.name, donors), []
  for name, model in models.items():
    if model.panel_hash != corpus.panel.hash:
      ids = model.meta["panel"]["ids"]
      raise corpora.other_genes(corpus.panel.ids, ids, corpus.path, model.workdir)
    corpora.as_read_by(model, corpus)
    prefix = "" if name == MODEL else f"{name}: "
    reasons += [prefix + r for r in leakage.leaks(model.meta, corpus.manifest, donors)]
    notes += [prefix + n for n in leakage.notes(model.meta, corpus.manifest, donors)]
  return leakage.refused(reasons, corpus.path, options.allow_leak), tuple(notes)
