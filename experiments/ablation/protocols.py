"""The same questions for every run and every baseline, answered by the tasks' own functions.

A task asks all that a method has features for; what it has not, it is not asked.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import jax
import numpy as np

from data_pipelines.loading import loader
from experiments.ablation import planted_protocols
from experiments.ablation.asked import Asked, Method
from experiments.ablation.sections import by_section
from hibio import configs, forward
from hibio.batch import Batch, Tables
from hibio.evaluation import (
  annotation,
  class_metrics,
  domains,
  expression,
  features,
  gather,
  retrieval,
)
from hibio.evaluation import predictions as predictions_
from hibio.evaluation.cohort import Cohort
from hibio.evaluation.rows import Row

OF_CORPUS = "components of the counts"
"""What the regions that a corpus is prepared with are drawn from."""

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
  if not asked.label:
    return
  yield from _domains(asked, asked.features_of(method.name))
  if tree := _tree_of(asked, method):
    regions = gather.regions_of(asked.cohort, asked.corpus, tree)[:, asked.is_scored]
    yield from domains.evaluate_region_tree(
      asked.scored, regions, tree, asked.label, tree, asked.split
    )


def of_pooled_domains(asked: Asked, method: Method) -> Iterator[Row]:
  """All sections together, with the section itself as the shortcut."""
  if asked.label:
    yield from _pooled_domains(asked, asked.features_of(method.name))


def of_anchor_domains(asked: Asked, method: Method) -> Iterator[Row]:
  """Both questions about domains to the similarities to pathway anchors."""
  if asked.label:
    read = asked.features_of(method.name, gather.ANCHORS)
    yield from _domains(asked, read)
    yield from _pooled_domains(asked, read)


def of_annotation(asked: Asked, method: Method) -> Iterator[Row]:
  """Labels by linear probe, leave one donor out."""
  for feature in asked.features_of(method.name) if asked.label else ():
    found = predictions_.predictions(asked.cohort, asked.folds, feature, asked.label)
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


def of_region_retrieval(asked: Asked, method: Method) -> Iterator[Row]:
  """The same of the regions that the corpus came with, drawn from components of counts."""
  names, scored = list(asked.cohort.features), asked.scored
  image, gene = f"{method.name}/image", f"{method.name}/gene"
  if {image, gene} <= set(names):
    yield from retrieval.evaluate_regions(
      scored, scored.features[image], scored.features[gene],
      np.asarray(asked.corpus.regions)[0, asked.is_scored], method.name, asked.split, OF_CORPUS,
    )  # fmt: skip


def of_contrast(asked: Asked, method: Method) -> Iterator[Row]:
  """Plain InfoNCE on batches of the test donors, the same for all, however a run was trained."""
  if method.frozen is None or set(asked.corpus.manifest["splits"]["test"]) - set(asked.donors):
    return
  test = asked.cohort.split("test")
  if not len(test.spots) or not len(test.seen_by(f"{method.name}/fused").spots):
    return
  objectives = configs.ObjectiveConfig(
    soft_target_share=0.0, neighbour_radius_um=method.neighbour_radius_um
  )
  total = forward.loss(objectives, shuffle_pairs=False)

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
  "anchor_domains": of_anchor_domains,
  "annotation": of_annotation,
  "retrieval": of_retrieval,
  "region_retrieval": of_region_retrieval,
  "zero_shot": planted_protocols.of_zero_shot,
  "keywords": planted_protocols.of_keywords,
  "contrast": of_contrast,
}


def _domains(asked: Asked, read: tuple[str, ...]) -> Iterator[Row]:
  for feature, cohort in _seen(asked, read):
    yield from domains.evaluate(
      cohort, feature, asked.label, feature, asked.split, clusterers=("kmeans",)
    )


def _pooled_domains(asked: Asked, read: tuple[str, ...]) -> Iterator[Row]:
  for feature, cohort in _seen(asked, read):
    yield from domains.evaluate_pooled(cohort, feature, asked.label, feature, asked.split)


def _seen(asked: Asked, read: tuple[str, ...]) -> Iterator[tuple[str, Cohort]]:
  """Each feature with the scored spots that it says something of, where there are any."""
  for feature in read:
    cohort = asked.scored.seen_by(feature)
    if len(cohort.spots):
      yield feature, cohort


def _tree_of(asked: Asked, method: Method) -> str:
  """The feature that a method's regions are drawn from; "" for methods that have no tree."""
  if method.params is None and method.name not in ("pca", "coordinates"):
    return ""
  own = asked.features_of(method.name)
  if not asked.cohort.spots["has_patch"].any() and method.params is not None:
    return f"{method.name}/gene"
  return own[-1]
