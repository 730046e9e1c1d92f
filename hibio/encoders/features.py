"""A small reader of what a frozen, pretrained encoder made of each spot's image beforehand."""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn
from jaxtyping import Array, Float

from hibio.batch import Batch
from hibio.encoders.base import ImageEncoder, require
from hibio.nn.layers import Dense


class FeatureAdapter(ImageEncoder):
  """One hidden layer over the features of a spot, as wide as `model.image.width`.

  Features outnumber the spots of many a study, and all of a slide share its stain: some are hidden
  in every step, so that no few of them can carry the pairs.
  """

  reads_pixels: ClassVar[bool] = False

  @nn.compact
  def __call__(self, batch: Batch) -> Float[Array, "window spot channel"]:
    adapter = self.config.adapter

    def dropped(values, share):
      drop = nn.Dropout(share, deterministic=not self.train, rng_collection="context")
      return drop(values)

    features = dropped(batch.features.astype(self.dtype), adapter.input_dropout)
    hidden = nn.gelu(Dense(self.config.image.width, dtype=self.dtype, name="hidden")(features))
    return dropped(hidden, adapter.hidden_dropout)

  def check(self, batch: Batch) -> None:
    for name in ("input_dropout", "hidden_dropout"):
      share = getattr(self.config.adapter, name)
      require(0 <= share < 1, f"adapter.{name}", share, "a share from 0 to below 1")
