"""A small reader of what a frozen, pretrained encoder made of each spot's image beforehand."""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn
from jaxtyping import Array, Float

from hibio.batch import Batch
from hibio.configs import ModelConfig
from hibio.encoders.base import ImageEncoder, require
from hibio.nn.layers import Dense

HIDDEN = "hidden"
"""Name of the layer among an encoder's parameters."""


class FeatureAdapter(ImageEncoder):
  """One hidden layer over the features of a spot, as wide as `model.image.width`.

  Features outnumber the spots of many a study, and all of a slide share its stain: some are hidden
  in every step, so that no few of them can carry the pairs.
  """

  reads_pixels: ClassVar[bool] = False

  @nn.compact
  def __call__(self, batch: Batch) -> Float[Array, "window spot channel"]:
    return read(batch.features, self)

  def check(self, batch: Batch) -> None:
    check(self.config)


def read(
  features: Float[Array, "window spot width"], encoder: ImageEncoder
) -> Float[Array, "window spot channel"]:
  """The hidden layer, as part of an encoder that calls it."""
  adapter = encoder.config.adapter

  def dropped(values, share):
    drop = nn.Dropout(share, deterministic=not encoder.train, rng_collection="context")
    return drop(values)

  features = dropped(features.astype(encoder.dtype), adapter.input_dropout)
  hidden = Dense(encoder.config.image.width, dtype=encoder.dtype, name=HIDDEN)(features)
  return dropped(nn.gelu(hidden), adapter.hidden_dropout)


def check(config: ModelConfig) -> None:
  """Refuses shares that are none.

  Raises:
    BadInputError: names the key.
  """
  for name in ("input_dropout", "hidden_dropout"):
    share = getattr(config.adapter, name)
    require(0 <= share < 1, f"adapter.{name}", share, "a share from 0 to below 1")
