"""The same questions for every run and every baseline, answered by the tasks' own functions.

A task asks all that a method has features for; what it has not, it is not asked.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines.loading import loader
from experiments import features, gather, planted
from experiments.ablation.asked import Asked, Method
from hibio import configs, forward, keywords, marker_anchors
from hibio.batch import Batch, Tables
from hibio.tasks import (
  annotation,
  class_metrics,
  domains,
  expression,
  keyword_purity,
  pooled_domains,
  region_domains,
  retrieval,
  zero_shot,
)
from hibio.tasks.predictions import Predictions
from hibio.tasks.rows import Row

KEYWORDS = 50
"""Genes a spot for the purity of keywords, whatever number a run reads."""

RANDOM_SETS = 5
CONTRAST_BATCHES = 16
WINDOWS_PER_BATCH, SECTIONS_PER_BATCH = 4, 2
"""Of the batches that the contrast is measured on, whatever a run was trained with."""


def of_expression(asked: Asked, method: Method) -> Iterator[Row]:
  """Genes from the image: by ridge on each image feature, and by the model's own readout."""
  for feature in asked.features_of(method.name):
    if feature in features.seeing(asked.cohort, "image"):
      yield from expression.evaluate(asked.questions, feature, ("ridge_cv",))
  if method.name in asked.cohort.readout:
    yield from expression.evaluate_readout(asked.questions, method.name, f"{method.name}/image")


def of_domains(asked: Asked, method: Method) -> Iterator[Row]:
  """Each section on its own by k-means, then cut out of the tree of contiguous regions."""
  for feature in asked.features_of(method.name):
    cohort = asked.scored.seen_by(feature)
    if len(cohort.spots):
      yield from domains.evaluate(
        cohort, feature, asked.label, feature, asked.split, clusterers=("kmeans",)
      )
  if tree := _tree_of(asked, method):
    regions = gather.regions_of(asked.cohort, asked.corpus, tree)[:, asked.is_scored]
    yield from region_domains.evaluate(asked.scored, regions, tree, asked.label, tree, asked.split)


def of_pooled_domains(asked: Asked, method: Method) -> Iterator[Row]:
  """All sections together, with the section itself as the shortcut."""
  for feature in asked.features_of(method.name):
    cohort = asked.scored.seen_by(feature)
    if len(cohort.spots):
      yield from pooled_domains.evaluate(cohort, feature, asked.label, feature, asked.split)


def of_annotation(asked: Asked, method: Method) -> Iterator[Row]:
  """Labels by linear probe, leave one donor out."""
  for feature in asked.features_of(method.name):
    found = annotation.predictions(asked.cohort, asked.folds, feature, asked.label)
    for row in annotation.rows(found, asked.cohort, asked.folds, asked.label, feature):
      yield row
      if row.metric == "balanced_accuracy" and row.value is not None:
        yield by_section(row, found, class_metrics.balanced_accuracy)


def of_retrieval(asked: Asked, method: Method) -> Iterator[Row]:
  """Image to gene and back, for whoever has both in one space."""
  cohort = asked.scored.seen_by(f"{method.name}/fused")
  names = list(asked.cohort.features)
  image, gene = f"{method.name}/image", f"{method.name}/gene"
  if {image, gene} <= set(names) and len(cohort.spots):
    yield from retrieval.evaluate(
      cohort, cohort.features[image], cohort.features[gene], method.name, asked.split
    )


def of_zero_shot(asked: Asked, method: Method) -> Iterator[Row]:
  """Planted classes by the anchors of their gene sets, beside anchors of random sets."""
  truth = planted.truth_of(asked.corpus.path)
  if truth is None or method.params is None:
    return
  share = asked.tables.statistics.corpus_document_share
  sets = {"": [asked.corpus.membership]}
  rng = np.random.default_rng(0)
  sets["random sets, "] = [
    zero_shot.random_sets(asked.corpus.membership, rng) for _ in range(RANDOM_SETS)
  ]
  for which, draws in sets.items():
    anchors = [
      np.asarray(marker_anchors.marker_anchors(method.params, one, share)) for one in draws
    ]
    for feature in asked.features_of(method.name):
      cohort = asked.scored.seen_by(feature)
      if len(cohort.spots):
        found = [_zero_shot(asked, cohort, feature, one, truth) for one in anchors]
        yield _mean_of_draws(found, f"{which}{feature}")


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
      keyword_purity.evaluate(
        {method.name: scores[rows]}, counts[rows] > 0, genes[rows], housekeeping, KEYWORDS,
        asked.corpus.name, asked.split,
      )
    )  # fmt: skip

  parts = {name: measured(rows) for name, rows in scored.sections()}
  for place, row in enumerate(measured(slice(None))):
    if row.method == method.name:  # not the oracle, which is the same for all
      yield dataclasses.replace(row, parts={name: own[place].value for name, own in parts.items()})


def of_contrast(asked: Asked, method: Method) -> Iterator[Row]:
  """Plain InfoNCE on batches of the test donors, the same for all, however a run was trained."""
  if method.params is None or set(asked.corpus.manifest["splits"]["test"]) - set(asked.donors):
    return
  test = asked.cohort.split("test")
  if not len(test.spots) or not len(test.seen_by(f"{method.name}/fused").spots):
    return
  total = forward.loss(configs.ObjectiveConfig(soft_target_share=0.0), shuffle_pairs=False)

  @jax.jit
  def measure(outputs, batch: Batch, tables: Tables) -> dict[str, jax.Array]:
    metrics = total(outputs, batch, tables, {}, jax.random.key(0))[1]
    return {name: metrics[name] for name in ("loss/spot", "chance/spot")}

  drawn = loader.batches(
    asked.corpus,
    "test",
    windows_per_batch=WINDOWS_PER_BATCH,
    sections_per_batch=SECTIONS_PER_BATCH,
    seed=0,
  )
  found, spots = [], 0
  for arrays in itertools.islice(drawn, CONTRAST_BATCHES):
    batch = Batch(**arrays)
    outputs = method.frozen(method.params, batch, asked.tables)
    found.append(jax.device_get(measure(outputs, batch, asked.tables)))
    spots += int(batch.spot_mask.sum())
  losses = [float(one["loss/spot"]) for one in found]
  yield Row(
    "contrast", asked.corpus.name, f"plain InfoNCE on {len(found)} batches", asked.split,
    "loss/spot", method.name, float(np.mean(losses)), spots,
    float(np.mean([one["chance/spot"] for one in found])),
    spread=float(np.std(losses)),
    parts={f"batch {number}": loss for number, loss in enumerate(losses)},
  )  # fmt: skip


TASKS: dict[str, Callable[[Asked, Method], Iterator[Row]]] = {
  "expression": of_expression,
  "domains": of_domains,
  "pooled_domains": of_pooled_domains,
  "annotation": of_annotation,
  "retrieval": of_retrieval,
  "zero_shot": of_zero_shot,
  "keywords": of_keywords,
  "contrast": of_contrast,
}


def by_section(row: Row, found: Predictions, metric: class_metrics.Metric) -> Row:
  """The metric of each section, averaged over sections; sections with one class are left out."""
  names = found.spots["section_id"].to_numpy(str)
  parts = {}
  for name in dict.fromkeys(names.tolist()):
    own = found.subset(names == name)
    if len(np.unique(own.truth)) > 1:
      parts[name] = metric(own).value
  values = list(parts.values())
  return dataclasses.replace(
    row,
    metric=f"{row.metric}_per_section",
    value=float(np.mean(values)) if values else None,
    spread=float(np.std(values)) if values else None,
    note=row.note if values else "no section has two classes",
    parts=parts,
  )


def _tree_of(asked: Asked, method: Method) -> str:
  """The feature that a method's regions are drawn from; "" for methods that have no tree."""
  if method.params is None and method.name not in ("pca", "coordinates"):
    return ""
  own = asked.features_of(method.name)
  if not asked.cohort.spots["has_patch"].any() and method.params is not None:
    return f"{method.name}/gene"
  return own[-1]


def _zero_shot(asked: Asked, cohort, feature: str, anchors: np.ndarray, truth) -> Row:
  scores = zero_shot.similarity(cohort.features[feature], anchors)
  described = (asked.corpus.gene_set_names, asked.label, planted.programs_of_leaves(truth))
  names, label, programs = described
  found = zero_shot.predictions(cohort, scores, names, label, programs)
  score = class_metrics.auroc(found)
  row = Row(
    "zero_shot", asked.corpus.name, f"anchors of planted gene sets, {label}", asked.split, "auroc",
    feature, score.value, len(found.spots), 0.5, "; ".join(found.notes),
  )  # fmt: skip
  return by_section(row, found, class_metrics.auroc)


def _mean_of_draws(rows: list[Row], method: str) -> Row:
  """The same figure for several draws of gene sets."""
  note = f"mean of {len(rows)} draws of sets of the same sizes" if len(rows) > 1 else rows[0].note
  parts = {name: float(np.mean([row.parts[name] for row in rows])) for name in rows[0].parts}
  return dataclasses.replace(
    rows[0],
    method=method,
    value=float(np.mean([row.value for row in rows])),
    spread=float(np.std([row.value for row in rows])) if len(rows) > 1 else rows[0].spread,
    note=note,
    parts=parts,
  )
