"""Low-rank adapters of matrices: W + scale * A B in place of W, with W left as it is.

An adapter lies beside its matrix's place in the tree, under "a" and "b". B begins at 0, so that
an adapted model begins as the model that it adapts, bit for bit.

References:
  Hu et al. 2021, arXiv:2106.09685.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

_ADAPTED = re.compile(r"(qkv|out|up|down|query|key|value)/kernel$")
"""Matrices of attention and feed-forward parts."""


def begin(seed: int, params: Any, rank: int, parts: Sequence[str] | None = None) -> Any:
  """Adapters of a model's matrices, which change nothing yet.

  Args:
    params: of the model; leading axes of a matrix (a scanned depth) are those of its adapter.
    parts: adapt only what lies under these names; None for the whole model.
  """
  # On the host: compiling a draw for every shape of matrix takes longer than the draws.
  rng, adapters = np.random.default_rng(seed), {}
  for path, kernel in sorted(flatten_dict(params).items()):
    if not _ADAPTED.search("/".join(path)) or (parts is not None and path[0] not in parts):
      continue
    *depth, width_in, width_out = kernel.shape
    a = rng.normal(scale=width_in**-0.5, size=(*depth, width_in, rank))
    adapters[(*path[:-1], "a")] = jnp.asarray(a, kernel.dtype)
    adapters[(*path[:-1], "b")] = jnp.zeros((*depth, rank, width_out), kernel.dtype)
  return unflatten_dict(adapters)


def merged(params: Any, adapters: Any, scale: float) -> Any:
  """The model's parameters with every adapter added to its matrix."""
  flat, added = flatten_dict(params), flatten_dict(adapters)
  for *place, name in added:
    if name == "a":
      kernel = (*place, "kernel")
      flat[kernel] = flat[kernel] + scale * (added[*place, "a"] @ added[*place, "b"])
  return unflatten_dict(flat)
