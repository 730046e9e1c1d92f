"""What finetuning reads off an embedding: one linear map, however many outputs."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hibio.outputs import Outputs

Head = dict[str, Any]
"""Parameters of a head: "kernel", "bias", and what a likelihood learns beside them."""

MODALITIES = {"image": ("image",), "gene": ("gene",), "fused": ("image", "gene")}
"""What a head reads -> the embeddings that it is given, one after the other."""


PACE = 10.0
"""How much faster a head learns than the model under it: it begins at nothing, the model does not.

On frozen embeddings of synthetic tissue, 300 steps at a rate of 0.001 brought the balanced accuracy
of labels on the training donors to 0.57 with 1 here and to 0.60 with 10.
"""


def seen(outputs: Outputs, modality: str) -> Float[Array, "window spot seen"]:
  """The embeddings that a head of this modality reads."""
  return jnp.concatenate([getattr(outputs, name) for name in MODALITIES[modality]], axis=-1)


def zero(width: int, num_outputs: int) -> Head:
  """A head that says 0 of everything."""
  return {
    "kernel": jnp.zeros((width, num_outputs), jnp.float32),
    "bias": jnp.zeros((num_outputs,), jnp.float32),
  }


def read(
  head: Head, embedding: Float[Array | np.ndarray, "*spots width"]
) -> Float[Array, "*spots output"]:
  """What a head says of unit-norm embeddings."""
  kernel = jnp.asarray(head["kernel"])
  bias = jnp.asarray(head["bias"]).reshape(*[1] * (embedding.ndim - 1), -1)
  return jnp.asarray(embedding) * _gain(len(kernel)) @ kernel + bias


def _gain(width: int) -> float:
  """Makes the entries of a vector of length 1 about `PACE`."""
  return PACE * width**0.5
