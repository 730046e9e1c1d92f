"""What finetuning has brought on donors that nobody trained on, beside what was there before."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from sklearn.metrics import f1_score, recall_score

from data_pipelines.loading.corpus import Corpus
from experiments import between_steps, gather, report_tables
from hibio import configs, forward, pretrained
from hibio.batch import Batch, Tables
from hibio.finetuning import heads
from hibio.finetuning.config import FinetuningConfig
from hibio.finetuning.tasks import CONTINUE
from hibio.tasks import annotation, baselines, expression
from hibio.tasks.cohort import Cohort
from hibio.tasks.rows import Row
from hibio.training.progress import say

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
  content = {
    "checkpoint": model.describe(),
    "source": model.meta["config"]["source"],
    "leaked_donors": sorted(set(corpus.manifest["splits"]["test"]) & set(source.train_donors)),
    "rows": [row.to_json() for row in rows],
  }
  table = report_tables.markdown(rows)
  (workdir / JSON).write_text(json.dumps(content, indent=1, allow_nan=False))
  (workdir / MARKDOWN).write_text(table)
  return table


def _of_head(
  model: pretrained.Pretrained,
  begin: Any,
  corpus: Corpus,
  tables: Tables,
  config: FinetuningConfig,
) -> Iterator[Row]:
  frozen = forward.frozen(model.model)
  cohort = gather.cohort(
    corpus, {"finetuned": (frozen, model.params), "source": (frozen, begin)}, tables
  )
  fit, test = cohort.split("train"), cohort.split("test")
  if not len(fit.spots) or not len(test.spots):
    say("no spots with both image and counts on both sides of the split: nothing is scored")
    return
  split = "donors " + ", ".join(dict.fromkeys(test.spots["donor_id"]))
  head = model.heads[config.task]
  features = [f"{name}/{config.modality}" for name in ("finetuned", "source")]
  if config.task == "annotation":
    features += _baselines(fit, test, config.modality)
    yield from _labels(test, head, config, split)
    for feature in features:
      yield from annotation.evaluate(fit, test, feature, config.label, feature, split)
    return
  genes = expression.variable_genes(fit)
  test.readout["finetuned head"] = np.asarray(heads.read(head, test.features["finetuned/image"]))
  for name, method in (("finetuned head", "finetuned head"), ("source", "source readout")):
    yield from expression.evaluate_readout(test, name, genes, method, split)
  for feature in (*features, "colour/image"):
    yield from expression.evaluate(fit, test, feature, genes, feature, split)


def _labels(test: Cohort, head: Any, config: FinetuningConfig, split: str) -> Iterator[Row]:
  """The finetuned head's own labels, scored as `hibio.tasks.annotation` scores a probe's."""
  test = annotation.labelled(test, config.label)
  truth = test.spots[config.label].to_numpy(str)
  present = sorted(set(truth))
  said = np.asarray(heads.read(head, test.features[f"finetuned/{config.modality}"]))
  predicted = np.array(config.label_names)[said.argmax(-1)]
  options = {"labels": present, "average": "macro", "zero_division": 0}
  for metric, score in (("balanced_accuracy", recall_score), ("macro_f1", f1_score)):
    yield Row(
      "annotation",
      test.dataset,
      f"finetuned head, {config.label}, held-out donors",
      split,
      metric,
      "finetuned head",
      float(score(truth, predicted, **options)),
      len(truth),
      1 / len(present),
    )


def _baselines(fit: Cohort, test: Cohort, modality: str) -> list[str]:
  """Simple features of this modality, added to the cohorts; their names."""
  if modality == "image":
    return ["colour/image"]
  components = [baselines.expression_pca(fit, cohort) for cohort in (fit, test)]
  for cohort, found in zip((fit, test), components, strict=True):
    cohort.features["pca/gene"] = found
    cohort.features["simple/fused"] = np.concatenate(
      [cohort.features["colour/image"], found], axis=1
    )
  return ["pca/gene"] if modality == "gene" else ["simple/fused"]


def _objectives(
  model: pretrained.Pretrained, begin: Any, corpus: Corpus, tables: Tables
) -> Iterator[Row]:
  """The objectives of pretraining on held-out donors, before and after."""
  config = configs.from_dict(configs.ObjectiveConfig, model.meta["config"]["objectives"])
  training = configs.from_dict(configs.TrainingConfig, model.meta["config"]["training"])
  total, frozen = forward.loss(config, shuffle_pairs=False), forward.frozen(model.model)

  @jax.jit
  def measured(outputs, batch: Batch, tables: Tables) -> dict[str, jax.Array]:
    return total(outputs, batch, tables, {}, jax.random.key(0))[1]

  protocol = f"{between_steps.HELD_OUT_BATCHES} batches as in training, from held-out donors"
  split = "donors " + ", ".join(corpus.manifest["splits"]["test"])
  for method, params in (("continued", model.params), ("source", begin)):
    found = between_steps.held_out(
      corpus,
      "test",
      lambda params, batch, tables: measured(frozen(params, batch, tables), batch, tables),
      training,
      params,
      tables,
    )
    for name in ("spot", "prototype", "region", "spot_to_region"):
      yield Row(
        "contrast",
        corpus.name,
        protocol,
        split,
        f"loss/{name}",
        method,
        found[f"loss/{name}"],
        between_steps.HELD_OUT_BATCHES,
        found[f"chance/{name}"],
      )
