"""Staged pretraining: `python -m experiments.pretrain --config=experiments/hibio.py`.

The config file is Python and is executed: use only one that you trust. Running the same command
again resumes. See `experiments/hibio.py` for what can be set.
"""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
from ml_collections import config_flags

from data_pipelines.loading import loader
from data_pipelines.loading.corpus import Corpus
from data_pipelines.preparation.regions import nested_regions
from experiments import embedded, entry
from experiments.figures import curves, maps
from hibio import configs, forward
from hibio.batch import Batch, SectionStatistics, Tables
from hibio.embedding import embed
from hibio.model import HiBio
from hibio.training import loop

_CONFIG = config_flags.DEFINE_config_file(
  "config",
  None,
  "The experiment, e.g. experiments/hibio.py or experiments/hibio.py:base",
  lock_config=True,
)

HELD_OUT_BATCHES = 8
"""Batches of held-out donors looked at during training; enough for a curve."""


def main() -> None:
  config = entry.required(_CONFIG)
  workdir = Path(config.workdir)
  corpus = Corpus.open(
    config.corpus
    or embedded.corpus(config.embedded.preset, config.embedded.seed, workdir.absolute().parent)
  )
  pretrain(
    corpus,
    workdir,
    configs.from_dict(configs.ModelConfig, config.model.to_dict(), "config.model."),
    configs.from_dict(configs.ObjectiveConfig, config.objectives.to_dict(), "config.objectives."),
    configs.from_dict(configs.TrainingConfig, config.training.to_dict(), "config.training."),
    num_threads=config.num_threads,
  )
  evaluation = f"python -m experiments.evaluate --checkpoint={workdir} --corpus={corpus.path}"
  print(f"checkpoints, metrics.jsonl and figures: {workdir}")
  print(f"next: {evaluation} --output={workdir / 'evaluation'}")


def pretrain(
  corpus: Corpus,
  workdir: Path,
  model_config: configs.ModelConfig,
  objectives: configs.ObjectiveConfig,
  training: configs.TrainingConfig,
  num_threads: int = 2,
) -> loop.TrainResult:
  """Trains on the corpus' training donors, or goes on where the work directory stands."""
  model = HiBio(model_config, num_genes=len(corpus.panel))
  tables = corpus_tables(corpus)
  frozen = forward.frozen(model)
  held_out = "validation" if corpus.manifest["splits"]["validation"] else "test"
  result = loop.train(
    init=lambda: forward.initial_params(model, *_one(corpus, training), training.seed),
    forward=forward.for_training(model, training.augmentation),
    total=forward.loss(objectives, training.shuffle_pairs),
    batches=lambda step: map(
      _batch,
      loader.batches(
        corpus,
        "train",
        windows_per_batch=training.windows_per_batch,
        sections_per_batch=training.sections_per_batch,
        seed=training.seed,
        start_step=step,
        num_threads=num_threads,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
      ),
    ),
    tables=tables,
    workdir=workdir,
    refresh_regions=lambda params, tables: refreshed_regions(
      corpus, frozen, params, tables, training
    ),
    evaluate=None,
    config=training,
    objective_config=objectives,
  )
  curves.draw(workdir)
  return result


def corpus_tables(corpus: Corpus) -> Tables:
  """The corpus' statistics, gene sets and first regions, ready for the device."""
  return Tables(
    statistics=SectionStatistics(**corpus.statistics),
    membership=corpus.membership,
    regions=corpus.regions,
  )
