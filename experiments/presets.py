"""What each variant of the experiment changes, a function each, so that variants can be combined.

`experiments/hibio.py:test,no_tfidf` applies them in this order to the same config. A preset changes
what it is named after and leaves the rest, the number of steps included, as it is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from ml_collections import ConfigDict

from hibio import configs, objectives

SPOT, PATHWAY, REGION = (stage.objectives for stage in objectives.stages())
"""Objectives of the three levels."""

Preset = Callable[[ConfigDict], None]
"""Changes the config in place."""


def default(config: ConfigDict) -> None:
  """The method as it stands."""


def test(config: ConfigDict) -> None:
  """Seconds; for tests."""
  config.synthetic.preset = "tiny"
  config.model.image.update(width=32, depth=1, num_heads=2)
  config.model.gene.update(width=32, depth=1, num_heads=2)
  config.model.update(embedding_width=32)
  config.model.context.num_heads = 2
  config.model.keywords.num_keywords = 16  # half as many tokens: seconds
  config.training.update(
    num_steps=12,
    windows_per_batch=2,
    sections_per_batch=2,
    log_every=1,
    evaluate_every=6,
    checkpoint_every=4,
  )


def tiny_checkpoint(config: ConfigDict) -> None:
  """The model that comes with the library: minutes on small and easy tissue, under 2 MB."""
  config.synthetic.preset = "small"
  config.model.image.update(width=64)
  config.model.gene.update(width=64)
  config.model.update(embedding_width=64)
  config.training.update(num_steps=300, windows_per_batch=4, evaluate_every=0, checkpoint_every=100)


def small(config: ConfigDict) -> None:
  """A ViT-S/16 and a long run."""
  _long_run_of("S", config)


def base(config: ConfigDict) -> None:
  """A ViT-B/16 and a long run."""
  _long_run_of("B", config)


def large(config: ConfigDict) -> None:
  """A ViT-L/16 and a long run."""
  _long_run_of("L", config)


def large_batch(config: ConfigDict) -> None:
  """Four times as many windows a step, in little more than the memory of one step's."""
  config.training.windows_per_batch *= 4
  config.training.accumulation *= 4


def more_memory(config: ConfigDict) -> None:
  """Towers keep the products of their weights, and compute less again on the way back."""
  config.model.image.remat = config.model.gene.remat = "dots"


def frozen(config: ConfigDict) -> None:
  """Features of a frozen, pretrained image encoder in place of pixels: minutes on a laptop."""
  config.features = "efficientnet_lite0"
  config.model.image_encoder = "features"
  config.model.image.update(width=128)
  config.model.adapter.update(input_dropout=0.3, hidden_dropout=0.3)
  config.model.gene.update(width=64, depth=0)
  config.model.update(embedding_width=48)
  config.model.keywords.num_keywords = 16
  config.objectives.update(negatives="section", soft_target_share=0.0)
  config.training.update(
    num_steps=100,
    windows_per_batch=10,
    sections_per_batch=10,
    weight_decay=0.02,
    evaluate_every=20,  # often enough for an alarm of held-out donors to ring
    stages=(
      # The gene side learns first, of all sections: few of them have an image.
      {"name": "gene", "share": 0.3, "objectives": ("gene_reconstruction",)},
      {"name": "spot", "share": 0.3, "objectives": SPOT},
      # No stage for regions: on real tissue they changed nothing that was measured.
      {"name": "pathway", "share": 0.4, "objectives": PATHWAY},
    ),
  )
  config.objectives.weights.update(pathway=0.1, prototype=0.1)


def pretrained_tower(config: ConfigDict) -> None:
  """Behind `frozen`: the network itself in place of its features, trained by low-rank adapters."""
  config.features = ""
  config.model.image_encoder = "pretrained"
  config.model.pretrained.adapter_rank = 8


def legacy_st(config: ConfigDict) -> None:
  """Spots 200 um apart, as on legacy Spatial Transcriptomics arrays."""
  config.objectives.neighbour_radius_um = 300.0
  config.model.context.radius_um = 500.0
  config.training.region_um = (800.0, 1600.0)  # as many spots as on Visium


def shuffled_pairs(config: ConfigDict) -> None:
  """Control: images and profiles paired at random; the spot objective must stay at chance."""
  config.training.shuffle_pairs = True


def spot_only(config: ConfigDict) -> None:
  """Baseline: plain InfoNCE between spots, and nothing else."""
  config.training.stages = ({"name": "spot", "share": 1.0, "objectives": ("spot",)},)
  config.objectives.soft_target_share = 0.0


def bleep(config: ConfigDict) -> None:
  """Baseline: the soft contrast of Xie et al. 2023 (arXiv:2306.01859), and nothing else."""
  spot_only(config)
  config.objectives.soft_target_share = 1.0


def no_tfidf(config: ConfigDict) -> None:
  """As many of the most expressed genes as keyword genes; in the profile all genes weigh alike."""
  config.model.keywords.update(score="raw", spatial_power=0.0)


def paper(config: ConfigDict) -> None:
  """As published, where the paper says how: a sentence of 250 TF-IDF genes, Leiden, thresholds."""
  config.model.update(gene_profile=False, image_stem="pieces", gene_input="sentence")
  config.model.keywords.update(score="tf_idf_smooth", spatial_power=0.0, num_keywords=250)
  config.objectives.update(surroundings_share=0.0, pathway_form="kl_indicator")
  config.training.region_method = "leiden"


def no_pathway(config: ConfigDict) -> None:
  """The pathway objectives stay off; their stage stays, so that the others last as long."""
  _never_switched_on(config, PATHWAY)


def no_region(config: ConfigDict) -> None:
  """The region objectives stay off; their stage stays, so that the others last as long."""
  _never_switched_on(config, REGION)


def random_pathways(config: ConfigDict) -> None:
  """Control: gene sets of the same sizes, drawn at random; they must teach nothing."""
  config.gene_sets = "random"


def joint(config: ConfigDict) -> None:
  """All objectives from the first step, in one stage."""
  objectives = tuple(name for stage in config.training.stages for name in stage["objectives"])
  config.training.stages = ({"name": "joint", "share": 1.0, "objectives": objectives},)


PRESETS: dict[str, Preset] = {
  function.__name__: function
  for function in (
    default, test, tiny_checkpoint, small, base, large, large_batch, more_memory, frozen,
    pretrained_tower, legacy_st, shuffled_pairs, spot_only, bleep, no_tfidf, no_pathway, no_region,
    random_pathways, joint, paper,
  )
}  # fmt: skip
"""Name -> what it changes. The first line of its docstring is what tables call it."""


def apply(config: ConfigDict, variants: str) -> None:
  """Applies presets by name, separated by commas, in order; the empty string changes nothing.

  Raises:
    ValueError: an unknown name.
  """
  for name in variants.split(",") if variants else ():
    if name not in PRESETS:
      raise ValueError(f"unknown variant {name!r}; the variants are {', '.join(PRESETS)}")
    PRESETS[name](config)


def _long_run_of(size: str, config: ConfigDict) -> None:
  shape = {
    name: dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value
    for name, value in configs.SIZES[size].items()
  }
  config.model.update(shape, dtype="bfloat16")
  config.training.update(
    num_steps=100_000,
    windows_per_batch=16,
    sections_per_batch=8,
    learning_rate=3e-4,
    log_every=50,
    evaluate_every=2_000,
    checkpoint_every=1_000,
  )


def _never_switched_on(config: ConfigDict, objectives: tuple[str, ...]) -> None:
  config.training.stages = tuple(
    {**stage, "objectives": tuple(n for n in stage["objectives"] if n not in objectives)}
    for stage in config.training.stages
  )
