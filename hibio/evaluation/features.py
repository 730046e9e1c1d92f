"""Every method's features of a corpus, model and baselines alike: what the tasks probe."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float

from hibio.evaluation.baselines import counts, external, neighbours
from hibio.evaluation.cohort import Cohort, modality
from hibio.evaluation.folds import Fold
from hibio.evaluation.gene_lists import variance_within_sections

REACH = 18
"""Nearest spots that the colour baseline averages over: as many as the model sees by default on
Visium (within 250 um, spots 100 um apart)."""

BANKSY_GENES = 1000


def with_baselines(
  cohort: Cohort,
  folds: Sequence[Fold],
  membership: Bool[np.ndarray, "set gene"],
  external: Mapping[str, str],
) -> Cohort:
  """The cohort with the features of every baseline that its images and counts allow.

  Axes of principal components come from donors that no fold holds out, if there are any; else from
  all spots, without their labels.

  Args:
    membership: gene sets of the corpus.
    external: name -> file of features that somebody else extracted; see `external_features`.
  """
  found = {f"{name}/image": _external(path, cohort) for name, path in external.items()}
  found |= _of_expression(cohort, unscored(cohort, folds))
  if len(membership):
    found["gene sets/gene"] = counts.gene_set_activity(cohort, membership)
  if "colour/image" in cohort.features:
    around = f"colour + {REACH} neighbours/image"
    found[around] = _around(cohort, "colour/image", REACH)
  found["coordinates/position"] = neighbours.coordinates(cohort)
  return dataclasses.replace(cohort, features={**cohort.features, **found})


def seeing(cohort: Cohort, *modalities: str) -> tuple[str, ...]:
  """Names of the features that have seen one of these and nothing else, in a fixed order."""
  return tuple(name for name in cohort.features if modality(name) in modalities)


def components_from_colour(
  cohort: Cohort, folds: Sequence[Fold]
) -> Float[np.ndarray, "spot component"]:
  """ "pca/gene" predicted from "colour/image": the simple way into a shared space.

  Each fold's spots are predicted by what was fitted on all others; what no fold holds out is zero.
  """
  components = cohort.features["pca/gene"]
  predicted = np.zeros_like(components)
  numbered = dataclasses.replace(
    cohort,
    spots=cohort.spots.assign(row=np.arange(len(cohort.spots))),
    features={"colour/image": cohort.features["colour/image"], "pca/gene": components},
  ).seen_by("pca/fused")
  for fold in folds:
    fit, test = fold.split(numbered)
    if len(fit.spots) and len(test.spots):
      rows = test.spots["row"].to_numpy()
      predicted[rows] = counts.ridge_between(fit, test, "colour/image", "pca/gene")
  return predicted


def _external(path: str, cohort: Cohort) -> Float[np.ndarray, "spot width"]:
  """Features from a file for the spots that have a patch; zero elsewhere."""
  rows = np.flatnonzero(cohort.spots["has_patch"])
  values = external.read(path, cohort.spots.iloc[rows])
  found = np.zeros((len(cohort.spots), values.shape[1]), np.float32)
  found[rows] = values
  return found


def _of_expression(cohort: Cohort, fit: Cohort) -> dict[str, np.ndarray]:
  rank = variance_within_sections(fit)
  genes = np.sort(np.argsort(-rank, kind="stable")[:BANKSY_GENES])
  pca = counts.expression_pca(fit, cohort)
  return {
    "pca/gene": pca,
    "pca + 6 neighbours/gene": neighbours.neighbour_mean(cohort, pca),
    **{
      f"banksy-style {weight}/gene": neighbours.banksy(fit, cohort, genes, weight)
      for weight in (neighbours.LAMBDA_VISIUM, neighbours.LAMBDA_DOMAINS)
    },
    "depth/gene": counts.sequencing_depth(cohort),
  }


def _around(cohort: Cohort, feature: str, num_neighbours: int) -> np.ndarray:
  """Means over neighbours that the feature says something of; other spots stay zero."""
  seen = cohort.seen_by(feature)
  rows = np.flatnonzero(cohort.spots["has_patch"])
  means = np.zeros_like(cohort.features[feature])
  means[rows] = neighbours.neighbour_mean(seen, seen.features[feature], num_neighbours)
  return means


def unscored(cohort: Cohort, folds: Sequence[Fold]) -> Cohort:
  """The spots of donors that no fold holds out, if there are any; else all."""
  scored = np.zeros(len(cohort.spots), bool)
  for fold in folds:
    scored |= (cohort.spots[fold.column].astype(str) == fold.held_out).to_numpy()
  return cohort if scored.all() else cohort.subset(~scored)
