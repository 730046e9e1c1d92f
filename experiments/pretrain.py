"""Staged pretraining on a prepared corpus, or on synthetic tissue that it makes first.

  python -m experiments.pretrain --config=experiments/hibio.py [--config.corpus=CORPUS]

The config file is Python and is executed: use only one that you trust. Running the same command
again resumes. See `experiments/hibio.py` for what can be set.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from data_pipelines import entry
from data_pipelines.loading.corpus import Corpus
from experiments import hibio
from hibio import configs, corpora, forward, pretraining
from hibio.model import HiBio
from hibio.report import curves, section_figures
from hibio.training import loop

FLAGS = entry.Flags(__doc__)
_CONFIG = FLAGS.config_file("config", "experiments/hibio.py", "The experiment, FILE[:VARIANTS]")
_PRINT = FLAGS.bool("print_config", False, "Print every key with its value and meaning, and stop")


def main() -> None:
  config = _CONFIG.value
  if _PRINT.value:
    print(entry.listing(config, hibio.meanings()))
    return
  corpus = run(config)
  print(f"checkpoints, metrics.jsonl and figures: {config.workdir}")
  print(
    f"next: python -m experiments.evaluate --checkpoint={config.workdir} --corpus={corpus.path}"
    f" --output={Path(config.workdir) / 'evaluation'}"
  )


def run(config: ConfigDict) -> Corpus:
  """All that the command does with a config, from Python; run again, it goes on where it stopped.

  Returns:
    The corpus that was trained on, with the gene sets that the config names; synthetic tissue, made
    first, where it names no corpus.

  Raises:
    BadInputError: an unknown key in the config, or a corpus that cannot be used.
  """
  workdir = Path(config.workdir)
  corpus = Corpus.open(
    config.corpus
    or corpora.corpus(config.synthetic.preset, config.synthetic.seed, workdir.absolute().parent)
  )
  corpus = corpora.chosen(corpus, config.gene_sets, config.gene_sets_seed)
  pretrain(
    corpus,
    workdir,
    configs.from_dict(configs.ModelConfig, config.model.to_dict(), "config.model."),
    configs.from_dict(configs.ObjectiveConfig, config.objectives.to_dict(), "config.objectives."),
    configs.from_dict(configs.TrainingConfig, config.training.to_dict(), "config.training."),
    num_threads=config.num_threads,
  )
  return corpus


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
  tables = corpora.tables_of(corpus)
  frozen = forward.frozen(model)
  total = forward.loss(objectives, training.shuffle_pairs)
  measure = forward.measure(total)
  split = pretraining.held_out_split(corpus)
  result = loop.train(
    init=lambda: forward.initial_params(model, corpora.first_window(corpus), tables, training.seed),
    forward=forward.for_training(model, training.augmentation),
    total=total,
    batches=pretraining.training_batches(corpus, training, num_threads),
    tables=tables,
    workdir=workdir,
    refresh_regions=pretraining.refresh_regions(corpus, frozen, training),
    evaluate=functools.partial(pretraining.held_out, corpus, split, frozen, measure, training)
    if split
    else None,
    config=training,
    model_config=model_config,
    objective_config=objectives,
    panel=corpus.panel,
    corpus=corpus.manifest,
  )
  curves.draw(workdir)
  regions = {
    f"regions, level {level + 1}": ids for level, ids in enumerate(np.asarray(result.regions))
  }
  train_sections = [s["section_id"] for s in corpus.manifest["sections"] if s["split"] == "train"]
  section_figures.draw_groups(
    corpus, regions, train_sections[:3], workdir / "figures" / "regions.png"
  )
  return result


if __name__ == "__main__":
  entry.run(main, FLAGS)
