"""Every choice the library reads, as frozen dataclasses. `experiments/hibio.py` fills them in.

The docstring of a class says under "Attributes" what each field means, and `config_trees` reads it.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class TransformerConfig:
  """Size of one transformer.

  Attributes:
    width: channels of a token.
    depth: number of blocks.
    num_heads: attention heads; divides `width`.
    mlp_ratio: hidden width of the feed-forward part over `width`.
    scan: scan over depth (large models: compiles once for all blocks) or unroll (small models).
    remat: what the backward pass of a block computes again, a name in
      `hibio.nn.layers.REMEMBERED`: "none" of it, all but "dots", the products of weights, or the
      "full" block; "auto" is "full" where depth is scanned, else "none".
    attention: a name in `hibio.nn.attention.FORMS`, or "auto": cuDNN's kernel on a GPU in half
      precision, else "xla".
  """

  width: int
  depth: int
  num_heads: int
  mlp_ratio: float = 4.0
  scan: bool = False
  remat: str = "auto"
  attention: str = "auto"


@dataclasses.dataclass(frozen=True)
class KeywordConfig:
  """How a spot's keyword genes are picked and weighted.

  Attributes:
    score: a name in `hibio.keywords.SCORES`.
    spatial_power: a gene's score is multiplied by (its pattern over the tissue, Moran's I above
      chance in the training sections) to this power; 0 does not look at patterns.
    num_keywords: K, the keyword genes of a spot; the results of the documentation are of 32.
    min_document_share: a gene counts only if this share of the section's spots express it.
    min_documents: and at least this many spots.
    min_count: and at least this many UMIs in the spot.
  """

  score: str = "surprisal"
  spatial_power: float = 1.0
  num_keywords: int = 32
  min_document_share: float = 0.005
  min_documents: int = 5
  min_count: int = 1


@dataclasses.dataclass(frozen=True)
class ContextConfig:
  """How a spot sees its neighbours.

  Attributes:
    num_heads: heads of the neighbour attention.
    radius_um: spots farther than this are not seen. 0 switches context off.
  """

  num_heads: int = 4
  radius_um: float = 250.0


@dataclasses.dataclass(frozen=True)
class AdapterConfig:
  """What is dropped, while training, where features of a frozen encoder are read.

  Attributes:
    input_dropout: share of the features of a spot that are hidden.
    hidden_dropout: share of the hidden channels that are.
  """

  input_dropout: float = 0.1
  hidden_dropout: float = 0.3


@dataclasses.dataclass(frozen=True)
class PretrainedConfig:
  """A network of the catalogue as the image encoder ("pretrained"), and what of it is trained.

  Attributes:
    name: in `hibio.encoders.catalogue.CATALOGUE`.
    trained_blocks: blocks at its end that pretraining trains; 0 for none of it, -1 for all of it.
    adapter_rank: of low-rank adapters, which are trained beside it; 0 for none.
  """

  name: str = "efficientnet_lite0"
  trained_blocks: int = 0
  adapter_rank: int = 0


@dataclasses.dataclass(frozen=True)
class ModelConfig:
  """Shape of the whole model.

  Attributes:
    embedding_width: width of the shared space.
    patch_px: side of the image patch the model reads.
    token_px: side of one image token; divides `patch_px`.
    image: the image transformer; where features are read, only its width counts.
    gene: the gene transformer; the table of genes is as wide.
    keywords: keyword genes.
    image_encoder: a name in `hibio.encoders.IMAGE_ENCODERS`.
    gene_encoder: a name in `hibio.encoders.GENE_ENCODERS`.
    adapter: how features are read ("features").
    pretrained: which network reads patches ("pretrained").
    image_stem: a name in `hibio.encoders.vit.STEMS`: how tokens are made of pixels.
    gene_input: a name in `hibio.encoders.gene.TOKENS`: what the gene tower is told of a keyword.
    gene_profile: the gene tower also reads a weighted sum over all measured genes, in which each
      weighs by its pattern over the tissue; and, with a context, the same averaged over the spots
      within its radius: what one spot's counts are too few to say.
    context: neighbour context, the same shape for both modalities.
    dtype: "float32" or "bfloat16" for activations; parameters are float32.
    reference_genes: genes of the panel that the model first learned on, where new ones were added
      behind them since; the share that a platform measures is a share of these. None: all genes.
  """

  embedding_width: int
  patch_px: int
  token_px: int
  image: TransformerConfig
  gene: TransformerConfig
  keywords: KeywordConfig = KeywordConfig()
  image_encoder: str = "vit"
  gene_encoder: str = "keywords"
  adapter: AdapterConfig = AdapterConfig()
  pretrained: PretrainedConfig = PretrainedConfig()
  image_stem: str = "convolutions"
  gene_input: str = "values"
  gene_profile: bool = True
  context: ContextConfig = ContextConfig()
  dtype: str = "float32"
  reference_genes: int | None = None


SIZES: dict[str, dict] = {
  # name: embedding width, patch and token side in pixels, image tower, gene tower
  "tiny": dict(
    embedding_width=96,
    patch_px=32,
    token_px=8,
    image=TransformerConfig(width=96, depth=3, num_heads=4),
    gene=TransformerConfig(width=96, depth=1, num_heads=4),
  ),
  "S": dict(
    embedding_width=512,
    patch_px=224,
    token_px=16,
    image=TransformerConfig(width=384, depth=12, num_heads=6, scan=True, remat="dots"),
    gene=TransformerConfig(width=384, depth=4, num_heads=6, scan=True, remat="dots"),
  ),
  "B": dict(
    embedding_width=512,
    patch_px=224,
    token_px=16,
    image=TransformerConfig(width=768, depth=12, num_heads=12, scan=True),
    gene=TransformerConfig(width=512, depth=6, num_heads=8, scan=True),
  ),
  "L": dict(
    embedding_width=768,
    patch_px=224,
    token_px=16,
    image=TransformerConfig(width=1024, depth=24, num_heads=16, scan=True),
    gene=TransformerConfig(width=512, depth=6, num_heads=8, scan=True),
  ),
}
"""The one table of model sizes. The gene tower stays small: 12 layers of width 768 on 256 tokens
cost more than a ViT-B/16."""


@dataclasses.dataclass(frozen=True)
class ObjectiveConfig:
  """Temperatures, masks and weights of the objectives.

  Attributes:
    neighbour_radius_um: spots of one section closer than this are excluded as negatives of each
      other.
    negatives: what a spot is told from in the spot contrast: "batch", all that is in it, or
      "section", the spots of its own section, where stain and batch cannot help.
    soft_target_share: eta, share of the target spread over similar pairs.
    soft_target_temperature: temperature of that spread.
    surroundings_share: share of the expression to be reconstructed that is the mean over the spots
      within the neighbour radius; the counts of one spot are mostly noise.
    pathway_form: a name in `hibio.objectives.pathway.TARGETS`.
    activity_temperature: of the soft pathway target ("kl"), over activities standardised in the
      section.
    activity_threshold: a pathway is on in the spots whose standardised activity is above this, for
      "kl_indicator" and for the objective "prototype"; by default the 0.8 quantile of a normal.
    max_regions: regions of one level a batch can hold; more are left out of the region objectives.
    region_temperature: of the region contrast and the spot-to-region assignment.
    weights: objective -> its weight in the loss once its stage is on; the defaults are
      `hibio.objectives.weights()`.
  """

  neighbour_radius_um: float = 150.0
  negatives: str = "batch"
  soft_target_share: float = 0.1
  soft_target_temperature: float = 0.1
  surroundings_share: float = 0.5
  pathway_form: str = "kl"
  activity_temperature: float = 0.5
  activity_threshold: float = 0.8416212
  max_regions: int = 64
  region_temperature: float = 0.1
  weights: tuple[tuple[str, float], ...] = ()


@dataclasses.dataclass(frozen=True)
class Stage:
  """A span of training that switches objectives on; once on, they stay on.

  Attributes:
    name: printed in `metrics.jsonl`.
    share: share of all training steps.
    objectives: names switched on, with a linear ramp, when the stage begins.
  """

  name: str
  share: float
  objectives: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class AugmentationConfig:
  """Changes to what is read that leave the biology alone, made on the device while training.

  Attributes:
    flips_and_rotations: one of the eight symmetries of a square, drawn for each patch.
    stain_strength: log-sd of the change of each stain's amount, drawn for each window.
    stain_shift: sd of an additive change in optical density.
  """

  flips_and_rotations: bool = True
  stain_strength: float = 0.15
  stain_shift: float = 0.02


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
  """One pretraining run.

  Attributes:
    num_steps: optimizer steps over all stages.
    windows_per_batch: windows a step, over all devices.
    accumulation: parts of these that pass through the model one after the other, in the memory of
      one; the loss is of all of them together, and its gradient exact.
    sections_per_batch: sections that those of them with images come from, and those without.
    paired_share: share of those windows that come from sections with images, of which alone an
      image can find its profile. Nothing changes where all sections have one, or none has.
    learning_rate: peak of the schedule.
    warmup_share: share of all steps spent warming up.
    rewarm_share: share of all steps over which the rate warms up again when a stage begins.
    stage_ramp_share: share of a stage over which its objectives' weights grow to their value.
    weight_decay: decoupled decay of matrices (not of biases, scales, tables).
    clip_norm: gradients are scaled down to this global norm.
    spike_sigmas: a step is skipped whose gradient's norm is so many standard deviations (of its
      log, over the last 200 steps) above the usual, and at least four times it; 0 skips none.
    data_patience: seconds without a batch after which the run saves and ends.
    region_refresh_share: share of the region stage between two refreshes of the regions.
    region_um: side of a region at each level, finest first; what refreshes aim for.
    region_method: how refreshes draw them, a name in
      `data_pipelines.preparation.regions.METHODS`. The first regions are the corpus' own.
    stages: what is switched on when, in order; the usual ones are `hibio.objectives.stages()`.
    mesh: devices along the axes (data, fsdp, tensor); -1 takes what is left.
    seed: of everything drawn.
    log_every: steps between two lines of `metrics.jsonl`.
    evaluate_every: steps between two looks at held-out donors. 0 switches them off.
    checkpoint_every: steps between two checkpoints.
    keep_checkpoints: the newest ones to keep.
    shuffle_pairs: control that must fail: image and gene embeddings are paired at random.
    augmentation: changes to what is read while training.
  """

  num_steps: int
  windows_per_batch: int
  sections_per_batch: int
  accumulation: int = 1
  paired_share: float = 0.75
  learning_rate: float = 1e-3
  warmup_share: float = 0.05
  rewarm_share: float = 0.02
  stage_ramp_share: float = 0.1
  weight_decay: float = 0.05
  clip_norm: float = 1.0
  spike_sigmas: float = 6.0
  data_patience: float = 300.0
  region_refresh_share: float = 0.34
  region_um: tuple[float, ...] = (400.0, 800.0)
  region_method: str = "agglomeration"
  stages: tuple[Stage, ...] = ()
  mesh: tuple[int, int, int] = (-1, 1, 1)
  seed: int = 0
  log_every: int = 10
  evaluate_every: int = 100
  checkpoint_every: int = 200
  keep_checkpoints: int = 2
  shuffle_pairs: bool = False
  augmentation: AugmentationConfig = AugmentationConfig()
