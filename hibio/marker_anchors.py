"""Anchors of any gene sets in the space of a trained model, made as its pathway anchors are.

A class that is described by marker genes becomes a point that images and profiles are compared
with: annotation with no label. Pure functions of parameters; no forward pass is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from hibio.nn.dense import Dense
from hibio.objectives.reduce import unit
from hibio.pathways import member_weights


def marker_anchors(
  params: Mapping[str, Any],
  membership: Bool[Array | np.ndarray, "set gene"],
  corpus_document_share: Float[Array | np.ndarray, " gene"],
) -> Float[Array, "set embedding"]:
  """Unit-norm anchors of gene sets that the model was not trained with: their offset is 0.

  A gene weighs less the more of the given sets hold it, as in `HiBio.anchors`: one set on its own
  has another anchor than the same set among others.

  Args:
    params: of `HiBio`.
    membership: genes of each set, over the model's panel; a set without a gene gets a zero vector.
    corpus_document_share: as in `hibio.batch.SectionStatistics`.
  """
  return unit(_members(params, membership, corpus_document_share))


def pathway_anchors(
  params: Mapping[str, Any],
  membership: Bool[Array | np.ndarray, "pathway gene"],
  corpus_document_share: Float[Array | np.ndarray, " gene"],
) -> Float[Array, "pathway embedding"]:
  """Unit-norm anchors of the gene sets that the model was trained with, learned offset included.

  Args:
    membership: as in training: all sets, in their order.
  """
  offset = jnp.asarray(params["anchor_offset"])[: len(membership)]
  return unit(_members(params, membership, corpus_document_share) + offset)


def _members(params, membership, corpus_document_share) -> Float[Array, "set embedding"]:
  weights = member_weights(jnp.asarray(membership), jnp.asarray(corpus_document_share))
  table = jnp.asarray(params["gene_table"]["embedding"])
  width = params["anchor"]["kernel"].shape[1]
  return Dense(width, use_bias=False).apply({"params": params["anchor"]}, weights @ table)
