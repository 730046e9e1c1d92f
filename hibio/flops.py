"""How many operations the model takes, counted by hand.

XLA's own count takes the body of a scan once, however deep the model is; a share of a machine's
peak needs this one.
"""

from __future__ import annotations

from hibio.configs import ModelConfig, TransformerConfig
from hibio.encoders.image import convolution_channels


def count_flops(
  config: ModelConfig,
  num_genes: int,
  num_pathways: int,
  *,
  spots_per_window: int = 64,
  spots_per_batch: int = 256,
) -> float:
  """Floating-point operations of a forward pass, for each spot; a training step takes three times.

  Matrix products only, a multiply-add as two, without recomputation (`TransformerConfig.scan`).

  Args:
    spots_per_window: spots that neighbour attention looks at.
    spots_per_batch: spots that share the anchors, which are made once a step.
  """
  tokens = (config.patch_px // config.token_px) ** 2
  image = _STEMS[config.image_stem](config) + transformer(config.image, tokens)

  keywords = min(config.keywords.num_keywords, num_genes)
  width, heads = config.gene.width, config.gene.num_heads
  values = 2 * keywords * (4 * width + width**2)
  pooling = 4 * keywords * width * heads + 2 * heads * width**2
  gene = values + transformer(config.gene, keywords) + pooling
  if config.gene_profile:
    gene += 2 * width * (num_genes + width)

  shared = config.embedding_width
  both_sides = 2 * shared * (config.image.width + config.gene.width)  # into the shared space
  if config.context.radius_um > 0:
    both_sides += 2 * (8 * shared**2 + 4 * spots_per_window * shared)
    if config.gene_profile and config.gene_neighbourhood:
      both_sides += 2 * width * (spots_per_window + shared)
  both_sides += 2 * (2 * shared * width + 2 * width * num_genes)  # readouts of expression
  both_sides += 2 * 2 * shared  # region scores

  anchors = 2 * num_pathways * (num_genes * width + width * shared)
  return float(image + gene + both_sides + anchors / spots_per_batch)


def transformer(config: TransformerConfig, tokens: int) -> int:
  """Operations of a transformer over one set of `tokens`."""
  width, hidden = config.width, int(config.mlp_ratio * config.width)
  per_token = 2 * (4 * width**2 + 2 * width * hidden) + 4 * tokens * width
  return config.depth * tokens * per_token


def _pieces(config: ModelConfig) -> int:
  tokens = (config.patch_px // config.token_px) ** 2
  return 2 * tokens * 3 * config.token_px**2 * config.image.width


def _convolutions(config: ModelConfig) -> int:
  channels = [3, *convolution_channels(config.image.width, config.token_px)]
  sides = [config.patch_px >> (number + 1) for number in range(len(channels) - 1)]
  layers = sum(
    2 * side**2 * 9 * before * after
    for side, before, after in zip(sides, channels, channels[1:], strict=False)
  )
  tokens = (config.patch_px // config.token_px) ** 2
  return layers + 2 * tokens * channels[-1] * config.image.width


_STEMS = {"pieces": _pieces, "convolutions": _convolutions}
"""Operations of each way to make tokens of pixels."""
