"""What is asked: each task is a function of a setting and a method that yields rows.

A task asks a method all that it has features for; what it has not, it is not asked. `TASKS` in
`suite.py` names them.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence

import jax
import numpy as np
import pandas as pd

from data_pipelines.loading import loader
from data_pipelines.loading.corpus import Corpus
from hibio import configs, forward, pathways
from hibio.batch import Batch
from hibio.evaluation import (
  annotation,
  domains,
  expression,
  gather,
  retrieval,
  zero_shot,
)
from hibio.evaluation.baselines import COMPONENTS, MAJORITY, MARKER_MEAN, planted
from hibio.evaluation.clusterers import CLUSTERERS
from hibio.evaluation.cohort import modality
from hibio.evaluation.methods import MODEL, Method
from hibio.evaluation.rows import Row, spread_of
from hibio.evaluation.setting import Setting
from hibio.objectives.base import ITEMS
from hibio.training.metrics import mean_of

HEADLINE = {
  "annotation": (f"{MODEL}/image", f"{MODEL}/gene", f"{MODEL}/fused"),
  "domains": (f"{MODEL}/fused",),
}
"""Features of the model that a task asks by all its protocols: few labels and random splits, or
every clusterer (a sweep of Leiden costs as much as ten of k-means). A baseline's line in the
registry says the same of it."""

PREPARED = "components of the counts"
"""What the regions that a corpus is prepared with are drawn from."""

BY_REGION = "@region1"
"""Ends the name of a feature that is averaged over the finest regions drawn from it."""

BESIDE_PCA = "@pca"
"""Ends the name of a gene embedding with principal components of the counts beside it."""

CONTRAST_BATCHES = 16
WINDOWS_PER_BATCH, SECTIONS_PER_BATCH = 4, 2
"""Of the batches that contrasts are measured on, whatever a model was trained with."""

QUICK_PROBES = ("ridge_cv", "reduced_rank + nearest")
"""Probes of expression that ablations ask: the usual one, and the best that is known."""

RANDOM_SETS = 5
"""Draws of random gene sets: one alone may look like anything."""


def predict_expression(setting: Setting, method: Method) -> Iterator[Row]:
  """Genes from the image: by probes of each feature, by retrieval, by the model's own readout."""
  asked = setting.questions
  protocols = expression.FROM_ONE_FEATURE if setting.thorough else QUICK_PROBES
  for feature in setting.features_of(method):
    if modality(feature) == "image" or not method.is_model:
      yield from expression.from_feature(asked, feature, protocols)
  if method.name in setting.cohort.readout:
    if setting.thorough:
      yield from expression.from_feature(asked, f"{method.name}/image", ("retrieval",))
    yield from expression.from_readout(asked, method.name, f"{method.name}/image", method.readout)


def find_domains(setting: Setting, method: Method) -> Iterator[Row]:
  """Each section clustered on its own, then cut out of the tree of contiguous regions.

  A model's by its embedding, by its anchors, and by what a rule chooses of the two.
  """
  ways = ("", gather.ANCHORS, BESIDE_PCA)
  read = tuple(feature for way in ways for feature in setting.features_of(method, way))
  for label in setting.labels:
    for feature in read:
      every_way = setting.thorough and _by_all_protocols("domains", method, feature)
      clusterers = tuple(CLUSTERERS) if every_way else ("kmeans",)
      cohort = setting.seen_by(feature)
      if len(cohort.spots):
        yield from domains.by_clustering(cohort, feature, label, feature, setting.split, clusterers)
    for anchors in setting.features_of(method, gather.ANCHORS):
      yield from _domains_by_rule(setting, anchors, label)
    if tree := setting.tree_of(method):
      regions = setting.regions(tree)[:, setting.is_scored]
      yield from domains.by_region_tree(setting.scored, regions, tree, label, tree, setting.split)


def _domains_by_rule(setting: Setting, anchors: str, label: str) -> Iterator[Row]:
  """Each section clustered by the reading that `readings` chooses there, without its labels."""
  cohort, told = setting.by_rule(anchors.removesuffix(gather.ANCHORS))
  if not len(cohort.spots):
    return
  (name,) = cohort.features
  for row in domains.by_clustering(cohort, name, label, name, setting.split, ("kmeans",)):
    yield dataclasses.replace(row, note=f"{row.note}; read from {told} sections")


def find_pooled_domains(setting: Setting, method: Method) -> Iterator[Row]:
  """All sections clustered together, with the section itself as the shortcut."""
  read = (*setting.features_of(method), *setting.features_of(method, gather.ANCHORS))
  for label, feature in itertools.product(setting.labels, read):
    cohort = setting.seen_by(feature)
    if len(cohort.spots):
      yield from domains.by_pooled_clustering(cohort, feature, label, feature, setting.split)


def annotate(setting: Setting, method: Method) -> Iterator[Row]:
  """Labels of donors held out by a linear probe; for headline features from few labels, too."""
  cohort, folds = setting.cohort, setting.folds
  ways = ("", BY_REGION, BESIDE_PCA)
  read = tuple(feature for way in ways for feature in setting.features_of(method, way))
  for label in setting.labels:
    if method.name == MAJORITY:
      asked = setting.models[0].name if setting.models else COMPONENTS
      found = setting.predictions(label, f"{asked}/gene")
      yield from annotation.majority(found, cohort, folds, label)
    for feature in read:
      found = setting.predictions(label, feature)
      yield from annotation.rows(found, cohort, folds, label, feature)
      if setting.thorough and _by_all_protocols("annotation", method, feature):
        yield from annotation.few_shot(cohort, folds, feature, label, feature)
        yield from annotation.random_split(cohort, feature, label, feature)


def annotate_by_gene_sets(setting: Setting, method: Method) -> Iterator[Row]:
  """Labels without a label: classes described by gene sets, beside random sets of these sizes."""
  described_by = _class_sets(setting)
  if described_by is None:
    return
  names, membership, sets_of_class = described_by
  for label in setting.labels:
    if method.name == MARKER_MEAN:
      yield from _by_marker_mean(setting, label, membership, names, sets_of_class)
    if method.is_model:
      yield from _by_anchors(setting, label, method, membership, names, sets_of_class)
      rng = np.random.default_rng(0)
      random = [zero_shot.random_sets(membership, rng) for _ in range(RANDOM_SETS)]
      draws = [_by_anchors(setting, label, method, one, names, sets_of_class) for one in random]
      yield from (_mean_of_draws(rows) for rows in zip(*draws, strict=True))


def retrieve_spots(setting: Setting, method: Method) -> Iterator[Row]:
  """Image to gene and back, for whoever has both in one space."""
  cohort, names = setting.scored, [f"{method.name}/{seen}" for seen in ("image", "gene")]
  if set(names) <= set(cohort.features):
    both = dataclasses.replace(cohort, features={name: cohort.features[name] for name in names})
    both = both.seen_by(f"{method.name}/fused")
    labels = setting.labels if setting.thorough else ()
    if len(both.spots):
      image, gene = (both.features[name] for name in names)
      yield from retrieval.of_spots(both, image, gene, method.name, setting.split, labels)


def retrieve_regions(setting: Setting, method: Method) -> Iterator[Row]:
  """The same of the regions that the corpus came with, drawn from components of counts.

  Galleries hold the other sections of the scored patients, too, if those were trained on.
  """
  cohort, names = setting.kin, [f"{method.name}/{seen}" for seen in ("image", "gene")]
  if set(names) <= set(cohort.features):
    image, gene = (cohort.features[name] for name in names)
    regions = np.asarray(setting.corpus.regions)[0, cohort.spots["spot_index"]]
    yield from retrieval.of_regions(
      cohort, image, gene, regions, method.name, setting.split, PREPARED, setting.scored_sections
    )


def measure_contrasts(setting: Setting, method: Method) -> Iterator[Row]:
  """Plain InfoNCE on batches of the test donors, the same for all, however a model was trained."""
  test = setting.corpus.manifest["splits"]["test"]
  if method.forward is None or not test or set(test) - set(setting.donors):
    return
  if not len(setting.cohort.split("test").seen_by(f"{method.name}/fused").spots):
    return
  losses = ("spot", "region", "spot_to_region") if setting.thorough else ("spot",)
  objectives = configs.ObjectiveConfig(
    soft_target_share=0.0, neighbour_radius_um=method.neighbour_radius_um
  )
  measure = forward.measure(
    forward.loss(objectives, shuffle_pairs=False),
    [f"{what}/{name}" for name in losses for what in ("loss", "chance")],
  )
  drawn = loader.batches(
    method.corpus,
    "test",
    windows_per_batch=WINDOWS_PER_BATCH,
    sections_per_batch=SECTIONS_PER_BATCH,
    seed=0,
  )
  found, spots = [], 0
  for arrays in itertools.islice(drawn, num_batches(method.corpus)):
    batch = Batch(**arrays)
    outputs = method.forward(method.params, batch, method.tables)
    found.append(jax.device_get(measure(outputs, batch, method.tables)))
    spots += int(batch.spot_mask.sum())
  means = mean_of(found)
  for name in losses:
    values = [float(one[f"loss/{name}"]) for one in found if one[f"{ITEMS}loss/{name}"]]
    yield Row(
      "contrast", setting.corpus.name, f"plain InfoNCE on {len(found)} batches", setting.split,
      f"loss/{name}", method.name, means[f"loss/{name}"], spots, means[f"chance/{name}"],
      spread=spread_of(values),
      parts={f"batch {number}": value for number, value in enumerate(values)},
    )  # fmt: skip


def num_batches(corpus: Corpus) -> int:
  """How many batches of the test sections with images are measured.

  One where all of their windows fit into it: every other batch would be the same once more.
  """
  sections = zip(corpus.manifest["sections"], corpus.has_image, strict=True)
  windows = sum(one["num_windows"] for one, seen in sections if seen and one["split"] == "test")
  return CONTRAST_BATCHES if windows > WINDOWS_PER_BATCH else 1


def _by_all_protocols(task: str, method: Method, feature: str) -> bool:
  """Whether a full evaluation asks this feature more than the one protocol that compares all."""
  return task in method.headline or feature in HEADLINE[task]


def _by_marker_mean(
  setting: Setting,
  label: str,
  membership: np.ndarray,
  names: Sequence[str],
  sets_of_class: Mapping[str, Sequence[str]] | None,
) -> Iterator[Row]:
  """Mean expression of marker genes, of the spot and over its region of components."""
  tree = f"{COMPONENTS}/gene"
  cohort = setting.seen_by(tree)
  scores = zero_shot.marker_mean(cohort, membership)
  of_spot = pd.Series(setting.regions(tree)[0], setting.cohort.spots["spot_index"])
  regions = of_spot.loc[cohort.spots["spot_index"]].to_numpy()
  for way, read in (("", scores), (BY_REGION, domains.region_mean(scores, regions))):
    yield from zero_shot.by_scores(
      cohort, read, names, label, f"{MARKER_MEAN}/gene{way}", setting.split, sets_of_class
    )


def _by_anchors(
  setting: Setting,
  label: str,
  method: Method,
  membership: np.ndarray,
  names: Sequence[str],
  sets_of_class: Mapping[str, Sequence[str]] | None,
) -> Iterator[Row]:
  """Every modality of a model against anchors made of these gene sets."""
  share = setting.tables.statistics.corpus_document_share
  anchors = np.asarray(pathways.marker_anchors(method.params, membership, share))
  for feature in (*setting.features_of(method), *setting.features_of(method, BY_REGION)):
    cohort = setting.seen_by(feature)
    if len(cohort.spots):
      scores = zero_shot.similarity(cohort.features[feature], anchors)
      yield from zero_shot.by_scores(
        cohort, scores, names, label, feature, setting.split, sets_of_class
      )


def _mean_of_draws(rows: Sequence[Row]) -> Row:
  """The same figure for several draws of random gene sets, as one row of a control."""
  values = [row.value for row in rows if row.value is not None]
  units = [name for name in rows[0].parts if all(name in row.parts for row in rows)]
  return dataclasses.replace(
    rows[0],
    method=f"random sets, {rows[0].method}",
    value=float(np.mean(values)) if values else None,
    spread=spread_of(values),
    parts={name: float(np.mean([row.parts[name] for row in rows])) for name in units},
    note=f"mean of {len(values)} draws of sets of the same sizes; {rows[0].note}",
  )


def _class_sets(
  setting: Setting,
) -> tuple[Sequence[str], np.ndarray, Mapping[str, Sequence[str]] | None] | None:
  """Names and genes of the sets that describe classes, and which describe which."""
  if setting.markers is not None:
    return setting.markers.names, setting.markers.membership, None
  truth = planted.truth_of(setting.corpus.path)
  if truth is None:
    return None
  programs = planted.programs_of_leaves(truth)
  return setting.corpus.gene_set_names, setting.corpus.membership, programs
