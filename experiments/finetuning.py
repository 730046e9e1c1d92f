"""Finetuning of a checkpoint: expression or labels from the image, or pretraining on other tissue.

Variants: "" and "expression" (expression from the image, low-rank adapters), "annotation" (region
labels from the image), "continue" (pretraining goes on, on another corpus), "test" (seconds; for
tests). `--config.finetuning.task` and `--config.finetuning.trainable` set both by name.

  python -m experiments.finetune --config=experiments/finetuning.py:annotation --checkpoint=WORKDIR
"""

from __future__ import annotations

import dataclasses

from ml_collections import ConfigDict

from experiments import hibio
from hibio import config_trees, configs
from hibio.finetuning.config import FinetuningConfig
from hibio.finetuning.tasks import CONTINUE

VARIANTS = ("", "expression", "annotation", "continue", "test")


def meanings() -> dict[str, str]:
  """Dotted key -> its meaning, for every key of `get_config`."""
  described = config_trees.describe(FinetuningConfig)
  own = {f"finetuning.{key}": meaning for key, (_, meaning) in described.items()}
  return hibio.meanings() | own


def get_config(variant: str = "") -> ConfigDict:
  """The whole experiment as one tree; every leaf can be set as `--config.a.b=value`."""
  if variant not in VARIANTS:
    raise ValueError(f"unknown variant {variant!r}; the variants are {', '.join(VARIANTS[1:])}")
  config = ConfigDict()
  config.workdir = f"runs/finetuned-{variant or 'expression'}"
  config.corpus = ""
  config.synthetic = ConfigDict({"preset": "medium", "seed": 0})
  config.split = hibio.get_config().split
  config.num_threads = 2
  config.max_bad_windows = 0
  config.finetuning = ConfigDict(dataclasses.asdict(FinetuningConfig()))
  config.training = ConfigDict(
    dataclasses.asdict(
      configs.TrainingConfig(
        num_steps=300,
        windows_per_batch=4,
        sections_per_batch=2,
        learning_rate=2e-3,
        evaluate_every=50,
        checkpoint_every=100,
      )
    )
  )
  del config.finetuning.label_names  # found in the corpus
  del config.training.accumulation  # of a contrast
  del config.training.shuffle_pairs
  del config.training.stages  # they belong to the task
  if variant == "annotation":
    config.finetuning.task = "annotation"
    config.finetuning.label = "leaf"
  if variant == "continue":
    config.finetuning.task = CONTINUE
    config.training.learning_rate = 5e-4
  if variant == "test":
    config.synthetic.preset = "tiny"
    config.finetuning.rank = 2
    config.training.update(
      num_steps=4,
      windows_per_batch=2,
      sections_per_batch=2,
      log_every=1,
      evaluate_every=2,
      checkpoint_every=2,
    )
  return config
