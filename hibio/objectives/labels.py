"""Cross-entropy of labels of which some are rare and most spots may have none."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

UNLABELLED = -1


def label_nll(
  logits: Float[Array, "*spots label"], labels: Int[Array, "*spots"]
) -> Float[Array, "*spots"]:
  """NLL of each spot's label, in nats; 0 for spots without one."""
  log_probabilities = jax.nn.log_softmax(logits, axis=-1)
  known = jnp.maximum(labels, 0)[..., None]
  nll = -jnp.take_along_axis(log_probabilities, known, axis=-1)[..., 0]
  return jnp.where(labels >= 0, nll, 0.0)


def balancing_weights(
  labels: Int[np.ndarray, " spot"], num_labels: int
) -> Float[np.ndarray, " label"]:
  """What a spot of each label counts, so that all labels count the same in total.

  The mean over labelled spots is 1; a label without spots has weight 0.
  """
  number = np.bincount(labels[labels >= 0], minlength=num_labels)
  present = max(int((number > 0).sum()), 1)
  weights = number.sum() / (present * np.maximum(number, 1))
  return np.where(number > 0, weights, 0.0).astype(np.float32)
