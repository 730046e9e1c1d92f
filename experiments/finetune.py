"""Finetuning of a checkpoint on a prepared corpus.

  python -m experiments.finetune --checkpoint=WORKDIR --config.corpus=CORPUS [--config.workdir=DIR]

Trains on the corpus' training donors, evaluates its validation donors on the way, and ends with a
table of its test donors, beside the checkpoint as it was, simple baselines and chance. Running the
same command again resumes. The result is a work directory like any other.

Without a corpus it takes the synthetic tissue that pretraining makes beside `--config.workdir`: the
donors held out there are new to the checkpoint too. (Another seed is no alternative: it draws
another set of genes.) The corpus must hold the checkpoint's genes first: prepare it with
`--panel=WORKDIR/panel.tsv`, or with `--extend_panel=WORKDIR/panel.tsv` to add new genes.
`experiments/finetuning.py` lists what can be learned.
"""

from __future__ import annotations

from pathlib import Path

from ml_collections import ConfigDict

from data_pipelines import entry
from experiments import finetuning, processes
from hibio import config_trees, configs, corpora, pretrained
from hibio.finetuning import run
from hibio.finetuning.config import FinetuningConfig
from hibio.training import hosts, timing

FLAGS = entry.Flags(__doc__)
_CONFIG = FLAGS.config_file(
  "config",
  "experiments/finetuning.py",
  "The experiment, FILE[:VARIANT]",
  listed_by="hibio finetune --print_config",
)
_CHECKPOINT = FLAGS.string("checkpoint", "runs/hibio", "Work directory to begin from")
_ALLOW_LEAK = FLAGS.bool(
  "allow_leak", False, "Report on test donors that the checkpoint was trained on"
)
_PRINT = FLAGS.bool("print_config", False, "Print every key with its value and meaning, and stop")
_joined = processes.flags(FLAGS)


def main() -> None:
  config = _CONFIG.value
  if _PRINT.value:
    print(entry.listing(config, finetuning.meanings()))
    return
  with _joined():
    _finetune(config)


def _finetune(config: ConfigDict) -> None:
  workdir = Path(config.workdir)
  choices = config_trees.from_dict(
    FinetuningConfig, config.finetuning.to_dict(), "config.finetuning."
  )
  training = config_trees.from_dict(
    configs.TrainingConfig, config.training.to_dict(), "config.training."
  )
  source = pretrained.load(_CHECKPOINT.value)
  run.check(source, choices)
  with hosts.first_alone():
    corpus = corpora.opened(config)
  table = run.finetune(
    source,
    corpus,
    workdir,
    choices,
    training,
    num_threads=config.num_threads,
    allow_leak=_ALLOW_LEAK.value,
    clock=timing.Stopwatch(before=timing.since_process_began()),
  )
  if not hosts.is_first():
    return
  print(table)
  print(f"checkpoints, metrics.jsonl, finetuning.json and finetuning.md: {workdir}")
  print(
    f"next: python -m experiments.evaluate --checkpoint={workdir} --corpus={corpus.path}"
    f" --output={workdir / 'evaluation'}"
  )


if __name__ == "__main__":
  entry.run(main, FLAGS)
