"""A pretrained model over a corpus with more genes and other gene sets than it knows.

Old genes keep their rows, so that what the model says of them stays. A new gene begins as a mean of
old genes that it is expressed together with: on embedded tissue, with a tenth of the panel taken
away and given back, that moved gene embeddings less (mean cosine 0.96 to those of the learned rows)
than a row drawn at random (0.95) or the mean of all rows (0.89) did.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from data_pipelines.problems import BadInputError


def check_extends(
  new_ids: Sequence[str],
  old_ids: Sequence[str],
  corpus: str | os.PathLike,
  workdir: str | os.PathLike,
) -> None:
  """Refuses a corpus whose panel does not begin with the checkpoint's genes, in their order.

  Raises:
    BadInputError: says how to prepare the corpus.
  """
  if tuple(new_ids[: len(old_ids)]) == tuple(old_ids):
    return
  known = len(set(new_ids) & set(old_ids))
  raise BadInputError(
    corpus,
    "gene panel",
    f"{len(new_ids):,} genes with {known:,} of the checkpoint's {len(old_ids):,}, in another order"
    if known == len(old_ids)
    else f"{known:,} of the checkpoint's {len(old_ids):,} genes",
    "all of them first, in the checkpoint's order",
    f"prepare it with --extend_panel={workdir}/panel.tsv to keep its own new genes,"
    f" or with --panel={workdir}/panel.tsv to leave them out",
  )


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
