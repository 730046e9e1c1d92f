"""Pretraining, all three stages: `python -m experiments.pretrain --config=experiments/hibio.py`.

Without any other argument it makes its own tissue, prepares it and trains the tiny model on it:
a few minutes on two CPU cores, no data and no network needed. Larger runs name a corpus and a
variant:

  --config=experiments/hibio.py:base --config.corpus=CORPUS --config.workdir=WORKDIR

Variants: "" (tiny model, embedded tissue), "test" (seconds; for tests), "short" (half a minute of
the tiny model on small and easy tissue; for notebooks, not to be judged), "legacy_st" (tiny model,
spots 200 um apart), "small", "base", "large"; the control "shuffled_pairs", in which images and
profiles are paired at random: the spot objective must stay at chance; "prototypes", whose regions
are learned prototypes and no clusters drawn between steps; and two baselines with the
spot contrast alone: "spot_only" (plain InfoNCE) and "bleep" (all of the target is spread over pairs
that resemble each other, as in Xie et al. 2023, arXiv:2306.01859).
"""

from __future__ import annotations

import dataclasses

from ml_collections import ConfigDict

from hibio import configs

_SIZE_OF = {"small": "S", "base": "B", "large": "L"}
_CONTRAST_ALONE = {"spot_only": 0.0, "bleep": 1.0}  # share of the target that is spread
VARIANTS = (
  *("", "test", "short", "legacy_st", "shuffled_pairs", "prototypes"),
  *_CONTRAST_ALONE,
  *_SIZE_OF,
)


def get_config(variant: str = "") -> ConfigDict:
  """The whole experiment as one tree; every leaf can be set as `--config.a.b=value`."""
  if variant not in VARIANTS:
    raise ValueError(f"unknown variant {variant!r}; the variants are {', '.join(VARIANTS[1:])}")
  config = ConfigDict()
  config.workdir = "runs/hibio"
  config.corpus = ""  # a prepared corpus; empty: embedded tissue beside the work directory
  config.embedded = ConfigDict({"preset": "medium", "seed": 0})
  config.gene_sets = ""  # empty: the corpus' own; "random": as large, drawn at random; or GMT files
  config.gene_sets_seed = 0  # of random gene sets
  config.num_threads = 2  # that decode patches
  config.model = _tree(configs.ModelConfig(**configs.SIZES[_SIZE_OF.get(variant, "tiny")]))
  config.objectives = _tree(configs.ObjectiveConfig())
  config.training = _tree(
    configs.TrainingConfig(
      num_steps=400,
      windows_per_batch=4,
      sections_per_batch=2,
      learning_rate=2e-3,
      evaluate_every=50,
    )
  )
  config.model.keywords.num_keywords = 48
  if variant in _SIZE_OF:
    config.model.dtype = "bfloat16"
    config.model.keywords.num_keywords = 256
    config.training.update(
      num_steps=100_000,
      windows_per_batch=16,
      sections_per_batch=8,
      learning_rate=3e-4,
      log_every=50,
      evaluate_every=2_000,
      checkpoint_every=1_000,
    )
  if variant == "test":
    config.workdir = "runs/test"
    config.embedded.preset = "tiny"
    config.model.image.update(width=32, depth=1, num_heads=2)
    config.model.gene.update(width=32, depth=1, num_heads=2)
    config.model.update(embedding_width=32)
    config.model.context.num_heads = 2
    config.model.keywords.num_keywords = 16
    config.training.update(
      num_steps=12,
      windows_per_batch=2,
      sections_per_batch=2,
      log_every=1,
      evaluate_every=6,
      checkpoint_every=4,
    )
  if variant == "short":
    config.workdir = "runs/short"
    config.embedded.preset = "small"
    config.training.update(num_steps=60, windows_per_batch=2, evaluate_every=0)
  if variant == "legacy_st":
    config.workdir = "runs/legacy_st"
    config.objectives.neighbour_radius_um = 300.0
    config.model.context.radius_um = 500.0
  if variant == "shuffled_pairs":
    config.workdir = "runs/shuffled_pairs"
    config.training.shuffle_pairs = True
  if variant == "prototypes":
    config.workdir = "runs/prototypes"
    config.model.region_prototypes = 32
    config.objectives.smoothness_over = "prototypes"
    config.objectives.weights.region_prototypes = 1.0
    config.training.stages = (
      *config.training.stages[:-1],
      {"name": "region", "share": 0.3, "objectives": ("region_prototypes", "smoothness")},
    )
    config.training.region_refresh_share = 0.0
  if variant in _CONTRAST_ALONE:
    config.workdir = f"runs/{variant}"
    config.training.stages = ({"name": "spot", "share": 1.0, "objectives": ("spot",)},)
    config.objectives.soft_target_share = _CONTRAST_ALONE[variant]
  return config


def _tree(config) -> ConfigDict:
  """A dataclass as a tree of plain values; the objectives' weights become one leaf each."""
  values = dataclasses.asdict(config)
  if "weights" in values:
    values["weights"] = dict(values["weights"])
  return ConfigDict(values)
