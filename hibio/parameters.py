"""Low-rank adapters of matrices: W + scale * A B in place of W, with W left as it is.

An adapter lies beside its matrix's place in the tree, under "a" and "b". B begins at 0, so that
an adapted model begins as the model that it adapts, bit for bit.

References:
  Hu et al. 2021, arXiv:2106.09685.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Float, Int

from hibio.finetuning.config import FinetuningConfig

_ADAPTED = re.compile(r"(qkv|out|up|down|query|key|value|expand|project)/kernel$")
"""Matrices of attention and feed-forward parts, and those that mix the channels of a pixel."""


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


def with_new_genes(
  params: Any,
  neighbours: Int[np.ndarray, "new neighbour"],
  weights: Float[np.ndarray, "new neighbour"],
) -> Any:
  """The model's parameters with rows for new genes behind the old ones, which stay as they are.

  Args:
    neighbours: old genes that each new gene is expressed together with.
    weights: of each of them, 0 or above; a gene without any begins at 0, as one of which nothing
      is known but how much of it there is.
  """
  table = np.asarray(params["gene_table"]["embedding"])
  shares = weights / np.maximum(weights.sum(-1, keepdims=True), 1e-9)
  rows = np.einsum("nk,nkw->nw", shares, table[neighbours]).astype(table.dtype)
  bias = np.asarray(params["gene_bias"])
  return {
    **params,
    "gene_table": {"embedding": jnp.asarray(np.concatenate([table, rows]))},
    "gene_bias": jnp.asarray(np.concatenate([bias, np.zeros(len(rows), bias.dtype)])),
  }


def with_gene_sets(params: Any, old_names: Sequence[str] | None, new_names: Sequence[str]) -> Any:
  """The model's parameters with an anchor offset for each of the new gene sets.

  A set keeps the offset that was learned under its name; other offsets begin at 0, where an anchor
  is made of its genes alone.

  Args:
    old_names: of the checkpoint's sets; None where they are not known: then all begin at 0.
  """
  old = np.asarray(params["anchor_offset"])
  # At least one row: as in `HiBio.anchors`.
  offsets = np.zeros((max(len(new_names), 1), old.shape[1]), old.dtype)
  row_of = {name: row for row, name in enumerate(old_names or ())}
  for row, name in enumerate(new_names):
    if name in row_of:
      offsets[row] = old[row_of[name]]
  return {**params, "anchor_offset": jnp.asarray(offsets)}


def plain(params: Mapping[str, Any], config: FinetuningConfig) -> Any:
  """The model's parameters with the adapters merged into them: `HiBio` runs on these."""
  if "adapters" not in params:
    return params["model"]
  return merged(params["model"], params["adapters"], config.scale)


def heads(params: Mapping[str, Any]) -> Any:
  """Task -> its head."""
  return params.get("heads", {})
