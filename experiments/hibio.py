"""Pretraining, all three stages: `python -m experiments.pretrain --config=experiments/hibio.py`.

Without any other argument it makes its own tissue, prepares it and trains the tiny model on it:
about five minutes on two CPU cores, no data and no network needed (`make demo`, which evaluates
it as well, takes about ten). Larger runs name a corpus and a variant:

  --config=experiments/hibio.py:base --config.corpus=CORPUS --config.workdir=WORKDIR

Variants are listed, and can be combined, in `experiments/presets.py`: sizes ("test", "small",
"base", "large"), real tissue ("frozen", "legacy_st"), baselines ("spot_only", "bleep"), what is
left out of the method ("no_tfidf", "no_pathway", "no_region"), other ways to do it ("paper",
"joint", ...) and the controls "shuffled_pairs" and "random_pathways".

  --config=experiments/hibio.py:legacy_st,no_pathway
"""

from __future__ import annotations

import dataclasses

from ml_collections import ConfigDict

from experiments import presets
from hibio import config_trees, configs, objectives

OWN_MEANINGS = {
  "workdir": "where the run is written; the same command continues what it finds there.",
  "corpus": "a prepared corpus; empty: synthetic tissue, made beside the work directory.",
  "synthetic.preset": "which synthetic tissue, a name in `data_pipelines.synthetic`.",
  "synthetic.seed": "of that tissue.",
  "features": "those of a frozen encoder that are read in place of patches; a name in the corpus.",
  "split.unit": "what is held out: donor, or section, though others of its donor are trained on.",
  "split.train": "donors or sections to train on, with commas between; empty: all not held out.",
  "split.validation": "names to look at while training.",
  "split.test": "names to hold out; with nobody named, all splits are as the corpus was prepared.",
  "gene_sets": 'empty: those of the corpus; "random": random sets of the same sizes; or GMT files,'
  " separated by commas.",
  "gene_sets_seed": "of random gene sets.",
  "num_threads": "threads that decode patches.",
  "max_bad_windows": "windows that may be left out as they cannot be read, over all starts; 0: the"
  " first ends the run.",
}
"""What the keys mean that `hibio.configs` does not have."""


def meanings() -> dict[str, str]:
  """Dotted key -> its meaning, for every key of `get_config`.

  Keys below an entry, such as `objectives.weights.spot`, share its meaning.
  """
  parts = {
    "model": configs.ModelConfig,
    "objectives": configs.ObjectiveConfig,
    "training": configs.TrainingConfig,
  }
  return OWN_MEANINGS | {
    f"{part}.{key}": meaning
    for part, cls in parts.items()
    for key, (_, meaning) in config_trees.describe(cls).items()
  }


def get_config(variants: str = "") -> ConfigDict:
  """The whole experiment as one tree; every leaf can be set as `--config.a.b=value`.

  Args:
    variants: names of presets, separated by commas, applied in order.
  """
  config = ConfigDict()
  config.workdir = f"runs/{variants.replace(',', '-') or 'hibio'}"
  config.corpus = ""
  config.synthetic = ConfigDict({"preset": "medium", "seed": 0})
  config.features = ""
  config.split = ConfigDict({"unit": "donor", "train": "", "validation": "", "test": ""})
  config.gene_sets = ""
  config.gene_sets_seed = 0
  config.num_threads = 2
  config.max_bad_windows = 0
  config.model = _tree(configs.ModelConfig(**configs.SIZES["tiny"]))
  config.objectives = _tree(configs.ObjectiveConfig())
  config.training = _tree(
    configs.TrainingConfig(
      num_steps=400,
      windows_per_batch=4,
      sections_per_batch=2,
      learning_rate=2e-3,
      evaluate_every=50,
      stages=objectives.stages(),
    )
  )
  presets.apply(config, variants)
  return config


def _tree(config) -> ConfigDict:
  """A dataclass as a tree of plain values; the weight of each objective becomes a leaf."""
  values = dataclasses.asdict(config)
  if "weights" in values:
    values["weights"] = objectives.weights() | dict(values["weights"])
  return ConfigDict(values)
