"""How active each pathway is in each spot, and what an anchor is made of.

A plain mean over a pathway's genes measures how deeply a spot was sequenced. Activity here is the
mean over members of expression standardised in the section, minus the same mean over all genes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from hibio.batch import SectionStatistics
from hibio.expression import standardised_in_sections
from hibio.masked import unit
from hibio.nn.layers import Dense

MIN_MEMBERS = 3
"""A pathway with fewer measured genes than this says nothing about a section."""

_MIN_IDF = 1e-3


def measured_pathways(
  statistics: SectionStatistics,
  membership: Bool[Array, "pathway gene"],
  section_index: Int[Array, " window"],
) -> Bool[Array, "window pathway"]:
  """Pathways of which the section's platform measures at least `MIN_MEMBERS` genes."""
  measured = jnp.asarray(statistics.measured)[section_index]
  return _measured_members(measured, membership) >= MIN_MEMBERS


def activity(
  expression: Float[Array, "window spot gene"],
  measured: Bool[Array, "window gene"],
  membership: Bool[Array, "pathway gene"],
) -> Float[Array, "window spot pathway"]:
  """Mean standardised expression of a pathway's genes minus that of all genes, measured ones only.

  0 for pathways with fewer than `MIN_MEMBERS` measured genes.

  Args:
    expression: as `hibio.expression.standardised` gives it: 0 where not measured.
  """
  sizes = _measured_members(measured, membership)
  members = expression @ membership.T.astype(expression.dtype)
  members = members / jnp.maximum(sizes, 1.0)[:, None]
  genes = jnp.maximum(measured.sum(-1, dtype=jnp.float32), 1.0)
  rest = expression.sum(-1) / genes[:, None]
  return jnp.where((sizes >= MIN_MEMBERS)[:, None], members - rest[..., None], 0.0)


def standardised_activity(
  counts: Int[Array, "window spot gene"],
  statistics: SectionStatistics,
  membership: Bool[Array, "pathway gene"],
  section_index: Int[Array, " window"],
) -> Float[Array, "window spot pathway"]:
  """Activity over its section: mean 0, standard deviation 1; 0 for pathways not measured."""
  statistics = jax.tree.map(jnp.asarray, statistics)
  measured = statistics.measured[section_index]
  expression = standardised_in_sections(counts, statistics, section_index)
  centred = (
    activity(expression, measured, membership) - statistics.activity_mean[section_index][:, None]
  )
  z = centred / statistics.activity_std[section_index][:, None]
  return jnp.where(measured_pathways(statistics, membership, section_index)[:, None], z, 0.0)


def member_weights(
  membership: Bool[Array, "pathway gene"], corpus_document_share: Float[Array, " gene"]
) -> Float[Array, "pathway gene"]:
  """What each gene adds to a pathway's anchor; sums to 1 over a pathway.

  Proportional to the gene's inverse document frequency in the corpus over the number of pathways
  that hold it: genes found everywhere, in tissue or in the collection, say little.
  """
  member = membership.astype(jnp.float32)
  idf = jnp.maximum(-jnp.log(corpus_document_share), _MIN_IDF)
  weight = member * (idf / jnp.maximum(member.sum(0), 1.0))[None]
  return weight / jnp.maximum(weight.sum(-1, keepdims=True), 1e-9)


def jaccard(membership: Bool[Array, "pathway gene"]) -> Float[Array, "pathway pathway"]:
  """Shared genes over all genes, of every two pathways."""
  member = membership.astype(jnp.float32)
  shared = member @ member.T
  size = member.sum(-1)
  return shared / jnp.maximum(size[:, None] + size[None, :] - shared, 1.0)


def _measured_members(
  measured: Bool[Array, "window gene"], membership: Bool[Array, "pathway gene"]
) -> Float[Array, "window pathway"]:
  return measured.astype(jnp.float32) @ membership.T.astype(jnp.float32)


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
