"""Zero-shot annotation: classes described by gene sets, with no label read but for scoring.

A spot's score for a class is how much closer than its section's other spots it lies to the class'
anchor. The same code scores a simple baseline, the mean expression of the marker genes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float

from hibio.evaluation import class_metrics
from hibio.evaluation.cohort import Cohort
from hibio.evaluation.predictions import Predictions, is_labelled
from hibio.evaluation.rows import Row
from hibio.masked import unit_rows


def similarity(
  embedding: Float[np.ndarray, "spot width"], anchors: Float[np.ndarray, "set anchor_width"]
) -> Float[np.ndarray, "spot set"]:
  """Cosine of every spot with every anchor.

  A fused embedding is several embeddings of the anchors' width side by side; their cosines are
  averaged.

  Raises:
    ValueError: the embedding is not one or several times as wide as the anchors.
  """
  parts, rest = divmod(embedding.shape[1], anchors.shape[1])
  if rest or not parts:
    raise ValueError(f"embedding of width {embedding.shape[1]}, anchors of {anchors.shape[1]}")
  pieces = unit_rows(embedding.reshape(len(embedding), parts, anchors.shape[1]))
  return np.einsum("spw,cw->sc", pieces, unit_rows(anchors)) / parts


def marker_mean(
  cohort: Cohort, membership: Bool[np.ndarray, "set gene"]
) -> Float[np.ndarray, "spot set"]:
  """Mean expression of each set's genes, each gene standardised in the section.

  Over the genes that the section measures; 0 where it measures none of a set.
  """
  genes = np.flatnonzero(membership.any(0))
  expression = cohort.z_scores(cohort.log_expression(genes))
  scores = np.zeros((len(cohort.spots), len(membership)))
  for section, rows in cohort.sections():
    members = membership[:, genes] & cohort.measured[section][genes]
    sizes = np.maximum(members.sum(1), 1)
    scores[rows] = expression[rows] @ members.T.astype(np.float64) / sizes
  return scores


def random_sets(
  membership: Bool[np.ndarray, "set gene"], rng: np.random.Generator
) -> Bool[np.ndarray, "set gene"]:
  """Sets of the same sizes with genes drawn from the whole panel: a control that must fail."""
  return rng.permuted(membership, axis=1)


def sets_of_classes(classes: Sequence[str], set_names: Sequence[str]) -> dict[str, list[str]]:
  """Class -> the gene sets that carry its name in any case; a class without one is absent."""
  named: dict[str, list[str]] = {}
  for name in set_names:
    named.setdefault(name.strip().casefold(), []).append(name)
  return {c: named[c.strip().casefold()] for c in classes if c.strip().casefold() in named}


def predictions(
  cohort: Cohort,
  scores: Float[np.ndarray, "spot set"],
  set_names: Sequence[str],
  label: str,
  sets_of_class: Mapping[str, Sequence[str]] | None = None,
) -> Predictions:
  """The class of each labelled spot: the one whose sets score highest there.

  Scores are standardised in each section, over all spots given, and averaged over the sets of a
  class. Spots of a class without a set are left out, and that is said.

  Args:
    cohort: the spots that the scores were made of: `cohort.seen_by(feature)`.
    scores: of every gene set, a column each.
    set_names: of the columns.
    sets_of_class: class -> names of its sets; by default those that carry the class' name.
  """
  present = sorted(set(cohort.spots[label][is_labelled(cohort, label)].astype(str)))
  if sets_of_class is None:
    sets_of_class = sets_of_classes(present, set_names)
  column = {name: number for number, name in enumerate(set_names)}
  columns = {c: [column[s] for s in sets if s in column] for c, sets in sets_of_class.items()}
  classes = tuple(sorted(c for c in columns if columns[c]))
  without = sorted(set(present) - set(classes))
  notes = [f"left out, no gene set: {', '.join(without)}"] if without else []

  standardised = cohort.z_scores(scores)
  by_class = np.zeros((len(cohort.spots), len(classes)))
  for number, name in enumerate(classes):
    by_class[:, number] = standardised[:, columns[name]].mean(1)
  spots = cohort.spots[["section_id", "donor_id"]].assign(
    row=np.arange(len(cohort.spots)), fold="", truth=cohort.spots[label].astype(str), predicted=""
  )
  even = np.full(len(classes), 1 / max(len(classes), 1))
  keep = spots["truth"].isin(classes).to_numpy()
  found = Predictions(spots, classes, by_class, {"": even}, tuple(notes)).subset(keep)
  return found.answered(found.scores, *notes) if keep.any() else found


def by_scores(
  cohort: Cohort,
  scores: Float[np.ndarray, "spot set"],
  set_names: Sequence[str],
  label: str,
  method: str,
  split: str,
  sets_of_class: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[Row]:
  """The metrics of `predictions`; chance is that of guessing evenly.

  AUROC asks of each class whether its spots score above the others and needs no threshold;
  balanced accuracy asks which class scores highest in a spot.
  """
  found = predictions(cohort, scores, set_names, label, sets_of_class)
  protocol = f"zero-shot by gene sets, {label}"
  yield from class_metrics.rows(found, cohort.dataset, protocol, split, method)
