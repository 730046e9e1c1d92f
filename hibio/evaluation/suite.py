"""Every task on one corpus: the model, the untrained model and simple baselines, side by side."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import jax
import numpy as np
import sklearn
from threadpoolctl import threadpool_limits

from data_pipelines.console import Parts
from data_pipelines.loading.corpus import Corpus
from data_pipelines.problems import BadInputError
from hibio import corpora, forward, pretrained
from hibio.evaluation import expression, features, gather, leakage, markers, task_rows
from hibio.evaluation.cohort import Cohort
from hibio.evaluation.folds import folds_of
from hibio.evaluation.rows import Row
from hibio.evaluation.setting import Setting

TASKS: dict[str, Callable[[Setting], Iterator[Row]]] = {
  "expression": task_rows.expression_rows,
  "domains": task_rows.domain_rows,
  "annotation": task_rows.annotation_rows,
  "retrieval": task_rows.retrieval_rows,
  "contrast": task_rows.contrast_rows,
  "keywords": task_rows.keyword_rows,
}
"""The four tasks, and two looks at pretraining itself: its objective on held-out donors, and what
its keywords pick where the answer is planted."""

_FEW_SPOTS = 30_000

_WEIGHTS = {"expression": 3.0, "domains": 6.0, "annotation": 8.0, "retrieval": 1.0}
"""Rough shares of the time, for the time that is left."""


@dataclasses.dataclass(frozen=True)
class Options:
  """What is asked of an evaluation.

  Attributes:
    tasks: names in `TASKS`.
    donors: who is scored; by default the corpus' test donors, or all where it has none.
    label: the label column to score; empty for every one.
    ignore_labels: names that say that there is no label, beside the usual ones.
    compare: name -> work directory of another checkpoint that goes through the same code.
    features: name -> file of image features that somebody else extracted.
    markers: GMT file that describes classes, for zero-shot annotation.
    exclude: a lab's table of donors that must not be scored.
    allow_leak: score donors that the checkpoint was trained on; every result then says so.
  """

  tasks: tuple[str, ...] = tuple(TASKS)
  donors: tuple[str, ...] = ()
  label: str = ""
  ignore_labels: tuple[str, ...] = ()
  compare: Mapping[str, Path] = dataclasses.field(default_factory=dict)
  features: Mapping[str, str] = dataclasses.field(default_factory=dict)
  markers: Path | None = None
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


def evaluate(model: pretrained.Pretrained, corpus: Corpus, options: Options) -> Evaluation:
  """Every task that the corpus' labels and images allow, on donors that are held out.

  Raises:
    BadInputError: another gene panel than the checkpoint's, a donor or label that the corpus does
      not have, or a scored donor that a checkpoint was trained on.
  """
  models = {"hibio": model, **{n: pretrained.load(p) for n, p in options.compare.items()}}
  donors = scored_donors(corpus, options.donors)
  banner, notes = guarded(models, corpus, donors, options)
  parts = Parts(
    "evaluate",
    {
      "spots and patches": 2.0,
      **{f"embeddings of {name}": 1.0 for name in (*models, "untrained")},
      "baselines": 2.0,
      **{task: _WEIGHTS.get(task, 0.5) for task in options.tasks},
    },
  )
  setting = gathered(models, corpus, donors, options, parts)
  rows = []
  for task in options.tasks:
    with parts.part(task), threads(len(corpus.spots)):
      rows += TASKS[task](setting)
  return Evaluation(rows, setting, banner, notes)


def gathered(
  models: Mapping[str, pretrained.Pretrained],
  corpus: Corpus,
  donors: tuple[str, ...],
  options: Options,
  parts: Parts,
) -> Setting:
  """Every method's features of the corpus, and how its donors are held out.

  Args:
    models: name -> checkpoint; the one to evaluate is "hibio".
    donors: who is scored.
  """
  model, labels = models["hibio"], _labels(corpus, options.label)
  amount = f"{len(corpus.spots):,} spots"
  with parts.part("spots and patches", amount):
    cohort = _unlabelled(gather.measured(corpus), labels, options.ignore_labels)
  folds = folds_of(cohort, donors)
  questions = expression.prepare(cohort, folds, corpus.membership)
  genes = np.flatnonzero(questions.column >= 0)
  tables = {name: corpora.tables_for(one, corpus) for name, one in models.items()}
  tables["untrained"] = tables["hibio"]
  untrained = forward.initial_params(
    model.model, corpora.first_window(corpus), tables["hibio"], model.seed
  )
  params = {name: corpora.params_over(one, corpus) for name, one in models.items()}
  modules = {name: one.model for name, one in models.items()}
  params["untrained"], modules["untrained"] = untrained, model.model
  # On the same device in the same way: else the same function is compiled once more.
  params = jax.device_put(params, jax.devices()[0])
  compiled: dict = {}
  for name, module in modules.items():
    with parts.part(f"embeddings of {name}", amount):
      frozen = compiled.setdefault(module, forward.frozen(module))
      cohort = gather.with_model(cohort, corpus, name, frozen, params[name], tables[name], genes)
      cohort = gather.with_anchors(cohort, name, params[name], tables[name])
  with parts.part("baselines", amount):
    seen = "hibio/fused" if cohort.spots["has_patch"].any() else "hibio/gene"
    regions = {seen: gather.regions_of(cohort, corpus, seen)}
    cohort = gather.with_regions(cohort, regions[seen], seen)
    cohort = features.with_baselines(cohort, folds, corpus.membership, options.features)
    # Contiguous regions agree with contiguous labels whatever they were drawn from: the fair
    # controls are trees of the same kind.
    for control in ("pca/gene", "coordinates/position"):
      regions[control] = gather.regions_of(cohort, corpus, control)
  return Setting(
    model=model,
    corpus=corpus,
    tables=tables["hibio"],
    params=params,
    frozen=compiled[model.model],
    cohort=cohort,
    donors=donors,
    folds=tuple(folds),
    questions=questions,
    labels=labels,
    regions=regions,
    markers=markers.read(options.markers, corpus.panel) if options.markers else None,
  )


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


def scored_donors(corpus: Corpus, wanted: tuple[str, ...]) -> tuple[str, ...]:
  """Who is scored: those asked for, else the corpus' test donors, else all of them."""
  every = tuple(dict.fromkeys(s["donor_id"] for s in corpus.manifest["sections"]))
  for name in wanted:
    if name not in every:
      raise BadInputError(
        "--donors", "donor", repr(name), f"some of {', '.join(every)}", "correct the name"
      )
  return wanted or tuple(corpus.manifest["splits"]["test"]) or every


def guarded(
  models: Mapping[str, pretrained.Pretrained],
  corpus: Corpus,
  donors: tuple[str, ...],
  options: Options,
) -> tuple[str, tuple[str, ...]]:
  """The leak banner and notes of all checkpoints together.

  Raises:
    BadInputError: a checkpoint with another panel; a scored donor that is on a lab's list or that a
      checkpoint was trained on.
  """
  listed = leakage.read(options.exclude) if options.exclude else []
  reasons, notes = leakage.excluded(listed, corpus.name, donors), []
  for name, model in models.items():
    if model.panel_hash != corpus.panel.hash:
      raise BadInputError(
        corpus.path,
        "gene panel",
        corpus.panel.hash,
        f"{model.panel_hash}, the checkpoint's ({name})",
        f"prepare the corpus with --panel={model.workdir}/panel.tsv",
      )
    prefix = "" if name == "hibio" else f"{name}: "
    reasons += [prefix + r for r in leakage.leaks(model.meta, corpus.manifest, donors)]
    notes += [prefix + n for n in leakage.notes(model.meta, corpus.manifest, donors)]
  return leakage.refused(reasons, corpus.path, options.allow_leak), tuple(notes)


def _labels(corpus: Corpus, wanted: str) -> tuple[str, ...]:
  """The label columns to score: the one that is wanted, or all that the corpus has."""
  names = tuple(corpus.manifest["labels"])
  if wanted and wanted not in names:
    raise BadInputError(
      corpus.path,
      "label",
      wanted,
      f"one of {', '.join(names) or 'none'}",
      "pass --label=NAME with a label of the corpus",
    )
  return (wanted,) if wanted else names


def _unlabelled(cohort: Cohort, labels: tuple[str, ...], ignored: tuple[str, ...]) -> Cohort:
  """The cohort with labels that say nothing left empty."""
  names = {name.strip().casefold() for name in ignored}
  columns = {
    label: cohort.spots[label]
    .astype(str)
    .where(~cohort.spots[label].astype(str).str.strip().str.casefold().isin(names), "")
    for label in labels
  }
  return dataclasses.replace(cohort, spots=cohort.spots.assign(**columns))
