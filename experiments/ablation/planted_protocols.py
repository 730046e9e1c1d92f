"""What only synthetic tissue can be asked: the genes and classes that were planted are known."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from experiments.ablation.asked import Asked, Method
from experiments.ablation.sections import by_section
from hibio import keywords, pathways
from hibio.evaluation import class_metrics, keyword_lists, zero_shot
from hibio.evaluation.baselines import planted
from hibio.evaluation.cohort import Cohort
from hibio.evaluation.rows import Row

KEYWORDS = 50
"""Genes a spot for the purity of keywords, whatever number a run reads."""

RANDOM_SETS = 5

MARKER_MEAN = Method("marker mean")
"""The baseline of anchors: the mean expression of the sets' genes."""


def of_zero_shot(asked: Asked, method: Method) -> Iterator[Row]:
  """Planted classes by the anchors of their gene sets, beside anchors of random sets."""
  truth = planted.truth_of(asked.corpus.path)
  if truth is None or not asked.label:
    return
  membership = asked.corpus.membership
  if method is MARKER_MEAN:
    cohort, feature = asked.scored.seen_by("pca/gene"), f"{MARKER_MEAN.name}/gene"
    yield _classes(asked, cohort, zero_shot.marker_mean(cohort, membership), feature, truth)
  if method.params is None:
    return
  rng = np.random.default_rng(0)
  random = [zero_shot.random_sets(membership, rng) for _ in range(RANDOM_SETS)]
  share = asked.tables.statistics.corpus_document_share
  for which, draws in {"": [membership], "random sets, ": random}.items():
    anchors = [np.asarray(pathways.marker_anchors(method.params, one, share)) for one in draws]
    for feature in asked.features_of(method.name):
      cohort = asked.scored.seen_by(feature)
      if len(cohort.spots):
        scores = [zero_shot.similarity(cohort.features[feature], one) for one in anchors]
        found = [_classes(asked, cohort, one, f"{which}{feature}", truth) for one in scores]
        yield _mean_of_draws(found) if len(found) > 1 else found[0]


def of_keywords(asked: Asked, method: Method) -> Iterator[Row]:
  """Which genes a model's own score picks, where the planted ones are known; parts are sections."""
  truth = planted.truth_of(asked.corpus.path)
  if truth is None or method.keywords is None:
    return
  scored, panel = asked.scored, asked.corpus.panel
  counts = np.asarray(scored.counts.todense())
  number = {s["section_id"]: row for row, s in enumerate(asked.corpus.manifest["sections"])}
  section = np.array([number[name] for name in scored.spots["section_id"]], np.int32)
  scores = np.asarray(
    keywords.keyword_scores(
      jnp.asarray(counts)[:, None], asked.tables.statistics, jnp.asarray(section), method.keywords
    )
  )[:, 0]
  genes = planted.planted_genes(truth, panel, scored)
  housekeeping = planted.housekeeping_genes(truth, panel)

  def measured(rows: np.ndarray | slice) -> list[Row]:
    return list(
      keyword_lists.evaluate(
        {method.name: scores[rows]}, counts[rows] > 0, genes[rows], housekeeping, KEYWORDS,
        asked.corpus.name, asked.split,
      )
    )  # fmt: skip

  parts = {name: measured(rows) for name, rows in scored.sections()}
  for place, row in enumerate(measured(slice(None))):
    if row.method == method.name:  # not the oracle, which is the same for all
      yield dataclasses.replace(row, parts={name: own[place].value for name, own in parts.items()})


def _classes(
  asked: Asked, cohort: Cohort, scores: Float[np.ndarray, "spot set"], feature: str, truth: Path
) -> Row:
  """How well scores of gene sets tell the classes apart that the sets were planted in."""
  programs = planted.programs_of_leaves(truth)
  found = zero_shot.predictions(cohort, scores, asked.corpus.gene_set_names, asked.label, programs)
  row = Row(
    "zero_shot", asked.corpus.name, f"planted gene sets, {asked.label}", asked.split, "auroc",
    feature, None, len(found.spots), 0.5, "; ".join(found.notes),
  )  # fmt: skip
  return by_section(row, found, class_metrics.auroc)


def _mean_of_draws(rows: list[Row]) -> Row:
  """The same figure for several draws of gene sets."""
  values = [row.value for row in rows if row.value is not None]
  parts = {name: float(np.mean([row.parts[name] for row in rows])) for name in rows[0].parts}
  return dataclasses.replace(
    rows[0],
    value=float(np.mean(values)) if values else None,
    spread=float(np.std(values)) if values else None,
    note=f"mean of {len(rows)} draws of sets of the same sizes",
    parts=parts,
  )
