"""Baselines of the counts, and the simple way from an image to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float
from sklearn.decomposition import PCA

from hibio.evaluation.baselines.base import Features, Given
from hibio.evaluation.cohort import Cohort
from hibio.evaluation.expression_probes import ridge_cv
from hibio.evaluation.zero_shot import marker_mean
from hibio.pathways import MIN_MEMBERS


def sequencing_depth(cohort: Cohort) -> Float[np.ndarray, "spot 1"]:
  """log1p of each spot's total counts, as the feature "depth/gene".

  It has seen expression, so it is no image method: a control that says how much of raw counts is
  depth.
  """
  totals = np.asarray(cohort.counts.sum(axis=1), np.float32).reshape(-1, 1)
  return np.log1p(totals)


def expression_pca(
  fit: Cohort, cohort: Cohort, components: int = 30
) -> Float[np.ndarray, "spot component"]:
  """Principal components of log1p(CP10k), centred in each section; axes from `fit`'s donors.

  Centring in the section is what a careful analyst does against batch effects; it makes this
  baseline stronger.
  """
  components = min(components, *fit.counts.shape)
  pca = PCA(components, random_state=0).fit(_centred(fit))
  return pca.transform(_centred(cohort)).astype(np.float32)


def gene_set_activity(
  cohort: Cohort, membership: Bool[np.ndarray, "set gene"]
) -> Float[np.ndarray, "spot set"]:
  """Activity of every gene set, standardised in the section, as the feature "gene sets/gene".

  What pathway anchors learn to follow, read off the counts without a model: the control of all that
  is read from anchors. The mean over all genes is taken away, as in `hibio.pathways.activity`; 0 in
  spots without counts, and for sets of which the section measures fewer than `MIN_MEMBERS` genes.
  """
  every = np.ones((1, membership.shape[1]), bool)
  values = marker_mean(cohort, membership) - marker_mean(cohort, every)
  counted = cohort.spots["has_counts"].to_numpy(bool)
  activity = np.zeros(values.shape, np.float32)
  activity[counted] = cohort.subset(counted).z_scores(values[counted])
  for section, rows in cohort.sections():
    measured = (membership & cohort.measured[section]).sum(1) >= MIN_MEMBERS
    activity[rows] = np.where(measured, activity[rows], 0.0)
  return activity


SENTENCE = 50
"""Genes of a published gene sentence (OmiCLIP, see `hibio.encoders.gene`). The control of the
highest counts and the purity of keyword genes stay at it whatever number K a run reads, so that
runs that differ in K are compared with the same and at the same."""


def highest_counts(cohort: Cohort, num_genes: int = SENTENCE) -> Cohort:
  """The cohort with each spot's highest counts alone; of equal ones the first of the panel.

  What a reader of the most expressed genes has, values included: the control of every choice of
  keyword genes.
  """
  counts = cohort.counts.tocsr(copy=True)
  counts.sort_indices()
  for start, end in zip(counts.indptr[:-1], counts.indptr[1:], strict=True):
    order = np.argsort(-counts.data[start:end].astype(np.float64), kind="stable")
    counts.data[start:end][order[num_genes:]] = 0
  counts.eliminate_zeros()
  return dataclasses.replace(cohort, counts=counts)


def pca(given: Given) -> Features:
  """Axes from donors that no fold holds out."""
  return expression_pca(given.fit, given.cohort)


def top_50(given: Given) -> Features:
  """The same of each spot's 50 highest counts alone."""
  return expression_pca(highest_counts(given.fit), highest_counts(given.cohort))


def depth(given: Given) -> Features:
  """How many counts a spot has."""
  return sequencing_depth(given.cohort)


def gene_sets(given: Given) -> Features | None:
  """Activity of the corpus' gene sets."""
  membership = given.corpus.membership
  return gene_set_activity(given.cohort, membership) if len(membership) else None


def to_components(source: str) -> Callable[[Given], tuple[Features, Features] | None]:
  """ "pca/gene" predicted from a feature of the image, and itself: the simple way into one space.

  Each fold's spots are predicted by a ridge that was fitted on all others: on features in units of
  their section, the penalty chosen over inner donors or sections. What no fold holds out is
  predicted by a ridge that was fitted on it, as models see it.
  Components come in units of their standard deviation, in which patches find more profiles than in
  components as they are. None without the feature, or where a fold has no images to fit on or to
  predict from.
  """

  def make(given: Given) -> tuple[Features, Features] | None:
    if source not in given.cohort.features or not given.folds:
      return None
    components = given.cohort.features["pca/gene"]
    components = components / np.maximum(components.std(axis=0), 1e-6)
    predicted = np.zeros_like(components)
    both = dataclasses.replace(
      given.cohort,
      spots=given.cohort.spots.assign(row=np.arange(len(components))),
      features={source: given.cohort.in_section_units(source)},
    ).seen_by("pca/fused")
    of_others = np.zeros(len(components), bool)
    for fold in given.folds:
      fit, test = fold.split(both)
      if min(len(fit.spots), len(test.spots)) < 2:
        return None
      fitted, held_out = fit.spots["row"].to_numpy(), test.spots["row"].to_numpy()
      seen = np.concatenate([fit.features[source], test.features[source]])
      found = ridge_cv(fit.features[source], fit.spots, seen)(components[fitted])[0]
      known = ~of_others[fitted]
      predicted[fitted[known]] = found[: len(fitted)][known]
      predicted[held_out] = found[len(fitted) :]
      of_others[held_out] = True
    return predicted, components

  return make


def _centred(cohort: Cohort) -> Float[np.ndarray, "spot gene"]:
  values = cohort.log_expression()
  for _, rows in cohort.sections():
    values[rows] -= values[rows].mean(0)
  return values
