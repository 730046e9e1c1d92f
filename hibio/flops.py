"""How many operations the model takes, counted by hand.

XLA's own count takes the body of a scan once, however deep the model is; a share of a machine's
peak needs this one.
"""

from __future__ import annotations

import dataclasses

from hibio import encoders
from hibio.configs import ModelConfig


def count_flops(
  config: ModelConfig,
  num_genes: int,
  num_pathways: int,
  *,
  spots_per_window: int = 64,
  spots_per_batch: int = 256,
) -> float:
  """Floating-point operations of a forward pass, for each spot; a training step takes three times.

  Matrix products only, a multiply-add as two, without recomputation (`TransformerConfig.scan`). NaN
  for an encoder that does not count its own.

  Args:
    spots_per_window: spots that neighbour attention looks at.
    spots_per_batch: spots that share the anchors, which are made once a step.
  """
  fewest = min(config.keywords.num_keywords, num_genes)
  keywords = dataclasses.replace(config.keywords, num_keywords=fewest)
  towers = encoders.of(dataclasses.replace(config, keywords=keywords)).values()
  each = sum(encoder.flops() for encoder in towers)
  width = config.gene.width
  if config.gene_profile:
    each += 2 * width * (num_genes + width)

  shared = config.embedding_width
  both_sides = 2 * shared * (config.image.width + width)  # into the shared space
  if config.context.radius_um > 0:
    both_sides += 2 * (8 * shared**2 + 4 * spots_per_window * shared)
    if config.gene_profile:
      both_sides += 2 * width * (spots_per_window + shared)
  both_sides += 2 * (2 * shared * width + 2 * width * num_genes)  # readouts of expression
  both_sides += 2 * 2 * shared  # region scores

  anchors = 2 * num_pathways * (num_genes * width + width * shared)
  return float(each + both_sides + anchors / spots_per_batch)
