"""What finetuning has brought on donors that nobody trained on, beside what was there before."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import f1_score, recall_score

from data_pipelines.console import say
from data_pipelines.files import write_text
from data_pipelines.loading.corpus import Corpus
from hibio import configs, forward, pretrained, pretraining
from hibio.batch import Tables
from hibio.evaluation import annotation, expression, gather, leakage, predictions
from hibio.evaluation.baselines import counts
from hibio.evaluation.cohort import Cohort
from hibio.evaluation.folds import Fold, described
from hibio.evaluation.rows import Row
from hibio.finetuning import heads
from hibio.finetuning.config import FinetuningConfig
from hibio.finetuning.tasks import CONTINUE
from hibio.report import markdown

JSON, MARKDOWN = "finetuning.json", "finetuning.md"


def report(
  workdir: Path,
  source: pretrained.Pretrained,
  begin: Any,
  corpus: Corpus,
  tables: Tables,
  config: FinetuningConfig,
) -> str:
  """Scores the corpus' test donors, writes the rows and their tables, and returns the tables.

  Args:
    begin: the checkpoint's parameters over the corpus' genes.
  """
  if not corpus.manifest["splits"]["test"]:
    return "no test donors in this corpus: nothing to score\n"
  say("scoring the test donors")
  model = pretrained.load(workdir)
  if config.task == CONTINUE:
    rows = list(_objectives(model, begin, corpus, tables))
  else:
    rows = list(_of_head(model, begin, corpus, tables, config))
  leaks = leakage.leaks(source.meta, corpus.manifest, corpus.manifest["splits"]["test"])
  content = {
    "checkpoint": model.describe(),
    "source": model.meta["config"]["source"],
    "leaks": leaks,
    "rows": [row.to_json() for row in rows],
  }
  table = markdown.markdown(rows, leaks=leaks)
  write_text(workdir / JSON, json.dumps(content, indent=1, allow_nan=False))
  write_text(workdir / MARKDOWN, table)
  return table


def _of_head(
  model: pretrained.Pretrained,
  begin: Any,
  corpus: Corpus,
  tables: Tables,
  config: FinetuningConfig,
) -> Iterator[Row]:
  every = gather.measured(corpus)
  # Labels are learned from what the head sees; expression takes an image and counts.
  sees = f"any/{config.modality if config.task == 'annotation' else 'fused'}"
  both = every.split("train", "test").seen_by(sees)
  if set(both.spots["split"]) != {"train", "test"}:
    say("no spots that the head can read on both sides of the split: nothing is scored")
    return
  folds = (Fold("split", "test"),)
  questions = expression.prepare(both, folds)
  genes = np.flatnonzero(questions.column >= 0)
  frozen = forward.frozen(model.model)
  for name, params in (("finetuned", model.params), ("source", begin)):
    every = gather.with_model(every, corpus, name, frozen, params, tables, genes)
  cohort = every.split("train", "test").seen_by(sees)
  head = model.heads[config.task]
  features = [f"{name}/{config.modality}" for name in ("finetuned", "source")]
  if config.task == "annotation":
    cohort = _with_baselines(cohort)
    features += {"image": ["colour/image"], "gene": ["pca/gene"], "fused": ["simple/fused"]}[
      config.modality
    ]
    yield from _labels(cohort.split("test"), head, config, described(folds))
    for feature in features:
      yield from annotation.by_probe(cohort, folds, feature, config.label, feature)
    return
  said = np.asarray(heads.read(head, cohort.features["finetuned/image"]))[:, genes]
  cohort = dataclasses.replace(cohort, readout={**cohort.readout, "finetuned head": said})
  questions = dataclasses.replace(questions, cohort=cohort)
  for name, method in (("finetuned head", "finetuned head"), ("source", "source readout")):
    yield from expression.from_readout(questions, name, method)
  for feature in (*features, "colour/image"):
    yield from expression.from_feature(questions, feature, ("ridge_cv",))


def _labels(test: Cohort, head: Any, config: FinetuningConfig, split: str) -> Iterator[Row]:
  """The finetuned head's own labels, scored as `hibio.evaluation.annotation` scores a probe's."""
  test = predictions.labelled(test, config.label)
  truth = test.spots[config.label].to_numpy(str)
  present = sorted(set(truth))
  if len(present) < 2:
    reason = f"needs 2 classes held out, found {len(present)}"
    yield Row(
      "annotation", test.dataset, f"finetuned head, {config.label}", split, "balanced_accuracy",
      "finetuned head", None, len(truth), None, reason,
    )  # fmt: skip
    return
  said = np.asarray(heads.read(head, test.features[f"finetuned/{config.modality}"]))
  predicted = np.array(config.label_names)[said.argmax(-1)]
  options = {"labels": present, "average": "macro", "zero_division": 0}
  for metric, score in (("balanced_accuracy", recall_score), ("macro_f1", f1_score)):
    yield Row(
      "annotation",
      test.dataset,
      f"finetuned head, {config.label}",
      split,
      metric,
      "finetuned head",
      float(score(truth, predicted, **options)),
      len(truth),
      1 / len(present),
    )


def _with_baselines(cohort: Cohort) -> Cohort:
  """The cohort with simple features of its expression, and of both modalities side by side."""
  components = counts.expression_pca(cohort.split("train"), cohort)
  found = {"pca/gene": components}
  if "colour/image" in cohort.features:
    found["simple/fused"] = np.concatenate([cohort.features["colour/image"], components], axis=1)
  return dataclasses.replace(cohort, features={**cohort.features, **found})


def _objectives(
  model: pretrained.Pretrained, begin: Any, corpus: Corpus, tables: Tables
) -> Iterator[Row]:
  """The objectives of pretraining on held-out donors, before and after."""
  config = configs.from_dict(configs.ObjectiveConfig, model.meta["config"]["objectives"])
  training = configs.from_dict(configs.TrainingConfig, model.meta["config"]["training"])
  total, frozen = forward.loss(config, shuffle_pairs=False), forward.frozen(model.model)
  look = pretraining.held_out(corpus, "test", frozen, total, training)
  protocol = f"{pretraining.HELD_OUT_BATCHES} batches as in training, from held-out donors"
  split = "donors " + ", ".join(corpus.manifest["splits"]["test"])
  for method, params in (("continued", model.params), ("source", begin)):
    found = look(params, tables)
    for name in ("spot", "prototype", "region", "spot_to_region"):
      yield Row(
        "contrast",
        corpus.name,
        protocol,
        split,
        f"loss/{name}",
        method,
        found[f"loss/{name}"],
        pretraining.HELD_OUT_BATCHES,
        found[f"chance/{name}"],
      )
