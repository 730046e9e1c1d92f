"""What finetuning has brought on donors that nobody trained on, beside what was there before."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from data_pipelines.console import say
from data_pipelines.files import write_text
from data_pipelines.loading.corpus import Corpus
from hibio import pretrained
from hibio.evaluation import class_metrics, compared, leakage, methods, suite
from hibio.evaluation import setting as setting_
from hibio.evaluation.folds import Fold, described
from hibio.evaluation.predictions import Predictions, labelled
from hibio.evaluation.rows import Row
from hibio.evaluation.setting import Setting
from hibio.finetuning import heads
from hibio.finetuning.config import FinetuningConfig
from hibio.finetuning.tasks import CONTINUE
from hibio.report import markdown

JSON, MARKDOWN = "finetuning.json", "finetuning.md"
FINETUNED, SOURCE = "finetuned", "source"


def report(
  workdir: Path,
  source: pretrained.Pretrained,
  begin: Any,
  corpus: Corpus,
  config: FinetuningConfig,
) -> str:
  """Scores the corpus' test donors, writes the rows and their tables, and returns the tables.

  Args:
    begin: the checkpoint's parameters over the corpus' genes.
  """
  if not corpus.manifest["splits"]["test"]:
    return "no test donors in this corpus: nothing to score\n"
  say("scoring the test donors")
  setting = _asked(pretrained.load(workdir), begin, corpus, config)
  rows = list(_rows(setting, config))
  leaks = leakage.leaks(source.meta, corpus.manifest, setting.donors)
  content = {
    "checkpoint": setting.model.describe(),
    "source": setting.model.meta["config"]["source"],
    "leaks": leaks,
    "rows": [row.to_json() for row in rows],
  }
  table = markdown.markdown(rows, leaks=leaks)
  write_text(workdir / JSON, json.dumps(content, indent=1, allow_nan=False))
  write_text(workdir / MARKDOWN, table)
  return table


def _asked(
  model: pretrained.Pretrained, begin: Any, corpus: Corpus, config: FinetuningConfig
) -> Setting:
  """Training donors to fit on and test donors to score, as the finetuned model and its source see
  them."""
  setting = setting_.read(
    model,
    corpus,
    corpus.manifest["splits"]["test"],
    (config.label,) if config.task == "annotation" else (),
    folds=(Fold("split", "test"),),
    splits=("train", "test"),
    thorough=config.task == CONTINUE,
  )
  finetuned = dataclasses.replace(methods.trained(FINETUNED, model, corpus), keywords=None)
  setting = setting.with_model(finetuned)
  return setting.with_model(dataclasses.replace(finetuned, name=SOURCE, params=begin))


def _rows(setting: Setting, config: FinetuningConfig) -> Iterator[Row]:
  """The head beside probes of both models and of simple baselines; without a head, the losses."""
  if config.task == CONTINUE:
    yield from suite.ask(setting, "contrast")
    return
  head = setting.model.heads[config.task]
  said = heads.read(head, setting.cohort.features[f"{FINETUNED}/{config.modality}"])
  if config.task == "annotation":
    yield from _of_head(setting, np.asarray(said), config)
    yield from suite.ask(compared.with_baselines(setting), "annotation")
    return
  # What the model says of genes is what its new head says.
  readout = {**setting.cohort.readout, FINETUNED: np.asarray(said)[:, setting.cohort.readout_genes]}
  setting = setting.with_cohort(dataclasses.replace(setting.cohort, readout=readout))
  yield from suite.ask(compared.with_baselines(setting), "expression")


def _of_head(setting: Setting, said: np.ndarray, config: FinetuningConfig) -> Iterator[Row]:
  """The labels that the head itself calls."""
  every = setting.cohort
  every = dataclasses.replace(every, features={f"said/{config.modality}": said})
  seen = labelled(every.seen_by(f"said/{config.modality}"), config.label)
  (fold,) = setting.folds
  fit, test = fold.split(seen)
  truth = test.spots[config.label].to_numpy(str)
  classes = tuple(sorted({*config.label_names, *truth.tolist()}))
  column = np.searchsorted(classes, config.label_names)
  scores = np.zeros((len(truth), len(classes)))
  scores[:, column] = softmax(test.features[f"said/{config.modality}"], axis=1)
  spots = test.spots[["section_id", "donor_id"]].assign(fold=fold.held_out, truth=truth)
  share = fit.spots[config.label].value_counts(normalize=True).reindex(classes, fill_value=0.0)
  found = Predictions(spots, classes, scores, {fold.held_out: share.to_numpy()}).answered(scores)
  yield from class_metrics.rows(
    found, every.dataset, f"finetuned head, {config.label}", described(setting.folds),
    f"{FINETUNED} head",
  )  # fmt: skip
