"""Finetuning of a checkpoint: both the command and its config.

  python -m experiments.finetune --config=experiments/finetune.py --checkpoint=WORKDIR \
    [--config.corpus=CORPUS --config.workdir=DIR ...]

Trains on the corpus' training donors, looks at its validation donors on the way, and ends with a
table of its test donors, beside the checkpoint as it was, simple baselines and chance. Running the
same command again resumes. The result is a work directory like any other.

Without a corpus it takes the synthetic tissue that pretraining makes beside `--config.workdir`: the
donors held out there are new to the checkpoint too. (Another seed is no alternative: it draws
another set of genes.) The corpus must hold the checkpoint's genes first: prepare it with
`--panel=WORKDIR/panel.tsv`, or with `--extend_panel=WORKDIR/panel.tsv` to add new genes.

Variants: "" and "expression" (expression from the image, low-rank adapters), "annotation" (region
labels from the image), "continue" (pretraining goes on, on another corpus), "test" (seconds; for
tests). `--config.finetuning.task` and `--config.finetuning.trainable` set both by name.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict, config_flags

from data_pipelines import entry
from data_pipelines.loading.corpus import Corpus
from hibio import configs, corpora, pretrained
from hibio.finetuning import run
from hibio.finetuning.config import FinetuningConfig
from hibio.finetuning.tasks import CONTINUE

VARIANTS = ("", "expression", "annotation", "continue", "test")


def get_config(variant: str = "") -> ConfigDict:
  """The whole experiment as one tree; every leaf can be set as `--config.a.b=value`."""
  if variant not in VARIANTS:
    raise ValueError(f"unknown variant {variant!r}; the variants are {', '.join(VARIANTS[1:])}")
  config = ConfigDict()
  config.workdir = f"runs/finetuned-{variant or 'expression'}"
  config.corpus = ""  # a prepared corpus; empty: synthetic tissue beside the work directory
  config.synthetic = ConfigDict({"preset": "medium", "seed": 0})
  config.num_threads = 2  # that decode patches
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


def main(config: ConfigDict, checkpoint: str, allow_leak: bool) -> None:
  workdir = Path(config.workdir)
  choices = configs.from_dict(FinetuningConfig, config.finetuning.to_dict(), "config.finetuning.")
  training = configs.from_dict(
    configs.TrainingConfig, config.training.to_dict(), "config.training."
  )
  source = pretrained.load(checkpoint)
  run.check(source, choices)
  corpus = Corpus.open(
    config.corpus
    or corpora.corpus(config.synthetic.preset, config.synthetic.seed, workdir.absolute().parent)
  )
  table = run.finetune(
    source,
    corpus,
    workdir,
    choices,
    training,
    num_threads=config.num_threads,
    allow_leak=allow_leak,
  )
  print(table)
  print(f"checkpoints, metrics.jsonl, finetuning.json and finetuning.md: {workdir}")
  print(
    f"next: python -m experiments.evaluate --checkpoint={workdir} --corpus={corpus.path}"
    f" --output={workdir / 'evaluation'}"
  )


if __name__ == "__main__":
  # Here and not above: the config flag runs this file a second time, as a config.
  _CONFIG = config_flags.DEFINE_config_file(
    "config", None, "The experiment, e.g. experiments/finetune.py:annotation", lock_config=True
  )
  _CHECKPOINT = flags.DEFINE_string("checkpoint", "runs/hibio", "Work directory to begin from")
  _ALLOW_LEAK = flags.DEFINE_bool(
    "allow_leak", False, "Report on test donors that the checkpoint was trained on"
  )
  entry.run(lambda: main(entry.required(_CONFIG), _CHECKPOINT.value, _ALLOW_LEAK.value))
