"""What the model and finetuning ask of an encoder.

An encoder is a Flax module that is built from the whole `ModelConfig` and makes one vector of what
was measured of each spot. Its parameters lie in one subtree of the model's: "image" or "gene".
"""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from data_pipelines.problems import BadInputError
from hibio.batch import Batch
from hibio.configs import ModelConfig
from hibio.outputs import Keywords


class Encoder(nn.Module):
  """What encoders of both modalities have.

  Attributes:
    config: of the whole model; an encoder reads its own part of it, and `dtype`.
    train: whatever is random draws from the stream "context".
  """

  config: ModelConfig
  train: bool = False

  @property
  def dtype(self) -> np.dtype:
    """Of activations; parameters are float32."""
    return jnp.dtype(self.config.dtype)

  @property
  def num_blocks(self) -> int:
    """Blocks that finetuning can train from the end; 0 where there are none to tell apart."""
    return 0

  def in_last_blocks(self, path: str, number: int) -> bool | np.ndarray:
    """Whether a parameter lies in the last blocks, or behind them.

    Args:
      path: of the parameter in the encoder, such as "transformer/block_0/mlp/up/kernel".
      number: of blocks, counted from the end.

    Returns:
      For a parameter whose leading axis is depth: a bool for each of its rows.
    """
    del path, number
    return False

  def trained(self, path: str) -> bool | np.ndarray:
    """Whether pretraining trains a parameter; told as `in_last_blocks` tells it."""
    del path
    return True

  def check(self, batch: Batch) -> None:
    """Refuses a config that does not fit the encoder or the batch.

    Raises:
      BadInputError: names the key.
    """

  def flops(self) -> float:
    """Operations of a forward pass over one spot, matrix products only; NaN where unknown."""
    return float("nan")


class ImageEncoder(Encoder):
  """Base of every entry of `hibio.encoders.IMAGE_ENCODERS`."""

  reads_pixels: ClassVar[bool] = True
  """Whether batches need patches; others need features."""

  def __call__(self, batch: Batch) -> Float[Array, "window spot channel"]:
    """A vector of each spot from its image alone, of any width; where it has none, anything."""
    raise NotImplementedError


class GeneEncoder(Encoder):
  """Base of every entry of `hibio.encoders.GENE_ENCODERS`."""

  def __call__(
    self,
    keywords: Keywords,
    gene_table: Float[Array, "gene width"],
    measured_share: Float[Array, " window"],
  ) -> Float[Array, "window spot width"]:
    """A vector of each spot from its keyword genes, as wide as the gene table.

    Args:
      gene_table: a vector a gene of the panel.
      measured_share: share of the panel that the section's platform measures.
    """
    raise NotImplementedError


def require(good: bool, field: str, found: object, expected: str) -> None:
  """Refuses a value of the model's config.

  Raises:
    BadInputError: unless `good`.
  """
  if not good:
    raise BadInputError("config", f"model.{field}", str(found), expected, f"change model.{field}")


def check_heads(part: str, width: int, num_heads: int) -> None:
  """Refuses heads that do not divide the width of a part of the model.

  Raises:
    BadInputError: names the key.
  """
  require(width % num_heads == 0, f"{part}.num_heads", num_heads, f"a divisor of the width {width}")
