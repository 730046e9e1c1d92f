"""Level 1: expression is read back from the embedding of either modality."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hibio.objectives.base import Objective, Values
from hibio.objectives.inputs import Side, Truth


def keyword_squared_error(
  predicted: Float[Array, "spot gene"],
  expression: Float[Array, "spot gene"],
  measured: Bool[Array, "spot gene"],
  keyword_weight: Float[Array, "spot gene"],
) -> Float[Array, " spot"]:
  """Weighted mean over genes of the squared error of standardised expression.

  Half of the weight is spread evenly over the measured genes, half lies on the spot's keywords;
  a spot without keywords has the even half only, one without measured genes gives 0.

  >>> wrong_by_two = jnp.array([[2.0, 0.0, 0.0, 0.0]])
  >>> of_the_keyword = jnp.array([[1.0, 0.0, 0.0, 0.0]])
  >>> keyword_squared_error(wrong_by_two, jnp.zeros((1, 4)), jnp.ones((1, 4), bool), of_the_keyword)
  Array([2.5], dtype=float32)
  """
  even = _shares(measured.astype(predicted.dtype))
  keyword = _shares(jnp.where(measured, keyword_weight, 0.0))
  return (_shares(even + keyword) * (predicted - expression) ** 2).sum(-1)


def _shares(weight):
  return weight / jnp.maximum(weight.sum(-1, keepdims=True), 1e-6)


def _side(side: Side, gene: Side, truth: Truth) -> Values:
  """One modality, of every spot that has it and counts: a profile counts without its image, too."""
  error = keyword_squared_error(
    side.readout, truth.expression, truth.measured, truth.keyword_weight
  )
  return Values(error, side.real & gene.real)


def _reconstruction(image: Side, gene: Side, truth: Truth) -> list[Values]:
  return [_side(side, gene, truth) for side in (image, gene)]


def _gene_reconstruction(gene: Side, truth: Truth) -> list[Values]:
  return [_side(gene, gene, truth)]


RECONSTRUCTION = Objective("reconstruction", stage="spot", weight=0.5, function=_reconstruction)
# For a stage before any pair is looked at; beside the one above, profiles would count twice.
GENE_RECONSTRUCTION = Objective(
  "gene_reconstruction", stage=None, weight=0.5, function=_gene_reconstruction
)
