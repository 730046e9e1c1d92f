"""The objective of labels read from an embedding: rare labels count as much as common ones."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hibio.batch import Batch, Tables
from hibio.finetuning.expression import Values
from hibio.finetuning.heads import MODALITIES, Head
from hibio.objectives.labels import label_nll


def labels(
  weights: Float[np.ndarray, " label"], modality: str
) -> Callable[[Array, Head, Batch, Tables], Values]:
  """Cross-entropy of labels, each label counting the same; spots without one do not count."""

  def objective(said: Array, head: Head, batch: Batch, tables: Tables) -> Values:
    del head
    truth = tables.labels[batch.spot_index]
    known = batch.spot_mask & (truth >= 0)
    for name in MODALITIES[modality]:
      known &= batch.has_patch if name == "image" else batch.has_counts
    weight = jnp.where(known, jnp.asarray(weights)[jnp.maximum(truth, 0)], 0.0)
    share = weight / jnp.maximum(weight.sum(), 1e-6)
    right = (said.argmax(-1) == truth).astype(jnp.float32)
    number = int((weights > 0).sum())
    return {
      "loss": (share * label_nll(said, truth)).sum(),
      "chance": jnp.log(jnp.float32(number)),
      "monitor/balanced_accuracy": (share * right).sum(),
      "monitor/balanced_accuracy_chance": jnp.float32(1 / number),
    }

  return objective
