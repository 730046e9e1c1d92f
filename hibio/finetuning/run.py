"""A checkpoint and a corpus -> a finetuned work directory, through the loop that pretrains."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import jax
import numpy as np

from data_pipelines.loading.coexpression import coexpressed
from data_pipelines.loading.corpus import Corpus
from data_pipelines.problems import BadInputError
from hibio import configs, corpora, encoders, forward, parameters, pretraining
from hibio.batch import Tables
from hibio.evaluation import leakage
from hibio.finetuning import forward as finetuned
from hibio.finetuning import scores, tasks, trainable
from hibio.finetuning.config import FinetuningConfig
from hibio.model import HiBio
from hibio.objectives import OBJECTIVES, stages
from hibio.pretrained import Pretrained
from hibio.report import curves
from hibio.training import hosts, loop
from hibio.training.optimizer import Trained
from hibio.training.recipe import Recipe
from hibio.training.stages import named
from hibio.training.tables import gene_set_names
from hibio.training.timing import Stopwatch
from hibio.training.workdir import record


def check(source: Pretrained, config: FinetuningConfig) -> None:
  """Refuses choices that do not exist, or that this checkpoint does not allow.

  Raises:
    BadInputError: names the key.
  """
  tasks.check(config)
  trainable.check(config.trainable, source.model.config, config.last_blocks)


def finetune(
  source: Pretrained,
  corpus: Corpus,
  workdir: Path,
  config: FinetuningConfig,
  training: configs.TrainingConfig,
  num_threads: int = 2,
  allow_leak: bool = False,
  clock: Stopwatch | None = None,
) -> str:
  """Finetunes on the corpus' training donors; resumes if the work directory holds a checkpoint.

  Returns:
    The results on held-out donors, as tables; they also lie in the work directory. Of several
    processes the first alone has them.

  Raises:
    BadInputError: config, corpus and checkpoint do not belong together, or a test donor of the
      corpus is one that the checkpoint was trained on.
  """
  clock = clock or Stopwatch()
  with clock.part("set-up"):
    check(source, config)
    corpus = corpora.as_read_by(source, corpus)
    _check(source, corpus, allow_leak)
    tables, task = corpora.tables_for(source, corpus), None
    if config.task != tasks.CONTINUE:
      config, labels, weights = tasks.of_task(corpus, config)
      tables, task = tables.replace(labels=labels), tasks.TASKS[config.task](config, weights)
      _check_images(corpus, task)
    training = dataclasses.replace(training, stages=task.stages if task else stages())
    model, begin = _begin(source, corpus)
    recipe = _recipe(source, corpus, model, begin, tables, task, config, training, num_threads)
  loop.train(recipe, workdir, clock)
  table = ""
  with hosts.first_alone() as first:
    if first:
      with clock.part("figures"):
        if task is None:
          curves.draw(workdir)
      with clock.part("scores"):
        table = scores.report(workdir, source, begin, corpus, config)
      record(workdir, seconds=clock.shares())
  return table


def _recipe(
  source: Pretrained,
  corpus: Corpus,
  model: HiBio,
  begin: Any,
  tables: Tables,
  task: tasks.Task | None,
  config: FinetuningConfig,
  training: configs.TrainingConfig,
  num_threads: int,
) -> Recipe:
  """What the loop is handed; without a task it is what pretraining hands it."""
  objectives = _objectives(source, task)
  trained = _trained(source, model, task, config)
  if task is None:
    run = finetuned.continued(model, config, training.augmentation, trained)
    frozen, total = (
      finetuned.frozen(model, config),
      forward.loss(objectives, False, named(training)),
    )
  else:
    run = finetuned.for_task(model, task, config, training.augmentation, trained)
    frozen, total = finetuned.frozen_task(model, task, config), finetuned.loss(task)
  return Recipe(
    init=lambda: finetuned.begun(begin, _adapters(begin, task, config, training.seed), task),
    forward=run,
    total=total,
    batches=pretraining.training_batches(corpus, training, num_threads),
    tables=tables,
    training=training,
    model=model.config,
    objectives=objectives,
    panel=corpus.panel,
    corpus=corpora.described(corpus),
    refresh_regions=None if task else pretraining.refresh_regions(corpus, frozen, training),
    evaluate=pretraining.while_training(corpus, frozen, total, training),
    trained=trained,
    more_config={"finetuning": dataclasses.asdict(config), "source": _source(source)},
    earlier_corpus=source.meta["corpus"],
  )


def _objectives(source: Pretrained, task: tasks.Task | None) -> configs.ObjectiveConfig:
  """Those of pretraining, and the task's; which of them are on is up to the stages."""
  objectives = source.objectives
  weights = tuple(one for one in objectives.weights if one[0] in OBJECTIVES)
  own = () if task is None else ((task.name, 1.0),)
  return dataclasses.replace(objectives, weights=(*weights, *own))


def _trained(
  source: Pretrained, model: HiBio, task: tasks.Task | None, config: FinetuningConfig
) -> Trained:
  return trainable.trained_by(
    config.trainable,
    trainable.Scope(encoders.of(model.config), config.last_blocks),
    modalities=None if task is None else tasks.heads.MODALITIES[task.modality],
    follows_means=task is None,
    num_old_genes=source.model.num_genes,
  )


def _begin(source: Pretrained, corpus: Corpus) -> tuple[HiBio, Any]:
  """The checkpoint's model over the corpus' genes and gene sets, and its parameters there."""
  num_old, params = source.model.num_genes, source.params
  config = source.model.config
  if len(corpus.panel) > num_old:
    params = parameters.with_new_genes(params, *coexpressed(corpus, num_old))
    if config.reference_genes is None:
      config = dataclasses.replace(config, reference_genes=num_old)
  names = corpus.gene_set_names
  if source.meta["corpus"]["fingerprint"] != corpus.fingerprint:
    params = parameters.with_gene_sets(params, gene_set_names(source.workdir), names)
  return HiBio(config, len(corpus.panel)), params


def _adapters(
  params: Any, task: tasks.Task | None, config: FinetuningConfig, seed: int
) -> Any | None:
  if config.trainable not in trainable.ADAPTED:
    return None
  parts = None
  if task is not None:
    names = tasks.heads.MODALITIES[task.modality]
    parts = tuple(part for name in names for part in trainable.TOWERS[name])
  return parameters.begin(seed, params, config.rank, parts)


def _source(source: Pretrained) -> dict[str, Any]:
  """Where the parameters come from; another checkpoint under the same name is another source."""
  digest = hashlib.sha256()
  for leaf in jax.tree.leaves(source.params):
    digest.update(np.asarray(leaf).tobytes())
  return {
    "workdir": str(source.workdir),
    "step": source.meta["step"],
    "seed": source.seed,
    "parameters_sha256": digest.hexdigest()[:16],
    "panel_hash": source.panel_hash,
    "corpus_fingerprint": source.meta["corpus"]["fingerprint"],
  }


def _check(source: Pretrained, corpus: Corpus, allow_leak: bool) -> None:
  corpora.check_extends(corpus.panel.ids, source.meta["panel"]["ids"], corpus.path, source.workdir)
  if source.features is None and corpus.patch_px != source.model.config.patch_px:
    raise BadInputError(
      corpus.path, "patches", f"{corpus.patch_px} px a side",
      f"{source.model.config.patch_px} px, as the checkpoint reads",
      f"prepare the corpus with --patch_px={source.model.config.patch_px}",
    )  # fmt: skip
  splits = corpus.manifest["splits"]
  if not splits["train"]:
    raise BadInputError(
      corpus.path, "train donors", "none", "at least one", "prepare with fewer --test_donors"
    )
  reasons = leakage.leaks(source.meta, corpus.manifest, splits["test"])
  leakage.refused(reasons, corpus.path, allow_leak)


def _check_images(corpus: Corpus, task: tasks.Task) -> None:
  """Refuses a task that reads images where no training section has one."""
  train = [section["split"] == "train" for section in corpus.manifest["sections"]]
  if "image" in tasks.heads.MODALITIES[task.modality] and not corpus.has_image[train].any():
    raise BadInputError(
      corpus.path, "images", "none in the sections of training donors", "an H&E image to read",
      "name images in metadata.csv and prepare again, or learn labels from"
      " --config.finetuning.modality=gene",
    )  # fmt: skip
