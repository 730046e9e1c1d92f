"""Which methods each task is asked of, and with what: features go in, rows come out."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines.loading import loader
from hibio import configs, forward, keywords, pathways
from hibio.batch import Batch, Tables
from hibio.evaluation import (
  annotation,
  domains,
  expression,
  features,
  gather,
  keyword_lists,
  published,
  retrieval,
  zero_shot,
)
from hibio.evaluation.baselines import planted
from hibio.evaluation.clusterers import CLUSTERERS
from hibio.evaluation.rows import Row
from hibio.evaluation.setting import Setting
from hibio.outputs import Outputs

KEYWORDS = 50
"""Genes a spot for the purity table: the size of a gene sentence in the literature."""

HEADLINE = ("hibio/image", "hibio/gene", "hibio/fused", "colour/image", "pca/gene",
            "pca + 6 neighbours/gene")  # fmt: skip
"""Methods that are also asked for few labels and for random splits."""

CLUSTERED_EVERY_WAY = ("hibio/fused", "pca/gene", "pca + 6 neighbours/gene")
"""Methods that every clusterer is tried on: a sweep of Leiden costs as much as ten of k-means."""

NOT_CLUSTERED = ("nuclei/image", "depth/gene")
NOT_PROBED = (*NOT_CLUSTERED, "coordinates/position")
"""Controls of the expression task and of the domains that answer no question elsewhere."""

CONTRAST_BATCHES = 16

_LOSSES, _WHAT = ("spot", "region", "spot_to_region"), ("loss", "chance")

RANDOM_SETS = 5
"""Draws of random gene sets: one alone may look like anything."""


def expression_rows(setting: Setting) -> Iterator[Row]:
  """Every image feature by every probe; the shared space by retrieval; the models' own readout."""
  asked = dataclasses.replace(setting.questions, cohort=setting.cohort)
  for feature in (*features.seeing(setting.cohort, "image"), "depth/gene"):
    if feature in setting.cohort.features and gather.ANCHORS not in feature:
      yield from expression.evaluate(asked, feature)
  for name in setting.models():
    yield from expression.evaluate(asked, f"{name}/image", ("retrieval",))
    yield from expression.evaluate_readout(asked, name, f"{name}/image")


def domain_rows(setting: Setting) -> Iterator[Row]:
  """Every feature by k-means, the headline ones by every clusterer; then the region tree."""
  scored, split = setting.scored, setting.split
  # Region-level features are left to the region tree, which says the same at every level.
  asked = [f for f in scored.features if f not in NOT_CLUSTERED and "@region" not in f]
  seen = {feature: scored.seen_by(feature) for feature in asked}
  for label in setting.labels:
    for feature, cohort in seen.items():
      if len(cohort.spots):
        clusterers = tuple(CLUSTERERS) if feature in CLUSTERED_EVERY_WAY else ("kmeans",)
        yield from domains.evaluate(cohort, feature, label, feature, split, clusterers)
    for feature, regions in setting.regions.items():
      ids = regions[:, setting.is_scored]
      yield from domains.evaluate_region_tree(scored, ids, feature, label, feature, split)
  if "dlpfc" in setting.corpus.name.lower():
    yield from published.rows()


def annotation_rows(setting: Setting) -> Iterator[Row]:
  """The linear probe of every feature, few labels for the headline ones, then no label at all."""
  cohort, folds = setting.cohort, setting.folds
  for label in setting.labels:
    for feature in (f for f in cohort.features if _is_probed(f)):
      found = setting.predictions(label, feature)
      yield from annotation.rows(found, cohort, folds, label, feature)
      if feature == "hibio/gene":
        yield from annotation.majority(found, cohort, folds, label)
      if feature in HEADLINE:
        yield from annotation.few_shot(cohort, folds, feature, label, feature)
        yield from annotation.random_split(cohort, feature, label, feature)
    yield from _zero_shot(setting, label)


def retrieval_rows(setting: Setting) -> Iterator[Row]:
  """Every model's shared space, and the simple way into one: ridge from colour to components."""
  cohort = setting.scored.seen_by("hibio/fused")
  if not len(cohort.spots):
    return
  found = cohort.features
  pairs = {name: (found[f"{name}/image"], found[f"{name}/gene"]) for name in setting.models()}
  if len(setting.questions.folds) == len(setting.folds) > 0:  # each fold has images to fit on
    predicted = features.components_from_colour(setting.cohort, setting.folds)
    complete = setting.cohort.spots[["has_patch", "has_counts"]].all(axis=1).to_numpy()
    pairs["colour ridge -> pca"] = (predicted[setting.is_scored & complete], found["pca/gene"])
  for name, (image, gene) in pairs.items():
    yield from retrieval.evaluate(cohort, image, gene, name, setting.split, setting.labels)


def contrast_rows(setting: Setting) -> Iterator[Row]:
  """The objectives themselves, on batches drawn as in training but from the test donors."""
  corpus, model = setting.corpus, setting.model
  test = setting.cohort.split("test")
  if not len(test.seen_by("hibio/fused").spots) or set(test.spots["donor_id"]) - set(
    setting.donors
  ):
    return
  training = model.meta["config"]["training"]
  total = forward.loss(model.objectives, shuffle_pairs=False)
  tables = setting.tables

  @jax.jit
  def measure(outputs: Outputs, batch: Batch, tables: Tables) -> dict[str, jax.Array]:
    # Tables as an argument: as constants they would be computed with while compiling.
    metrics = total(outputs, batch, tables, {}, jax.random.key(0))[1]
    return {f"{what}/{name}": metrics[f"{what}/{name}"] for what in _WHAT for name in _LOSSES}

  drawn = loader.batches(
    corpus,
    "test",
    windows_per_batch=training["windows_per_batch"],
    sections_per_batch=training["sections_per_batch"],
    seed=0,
  )
  batches = [Batch(**arrays) for arrays in itertools.islice(drawn, CONTRAST_BATCHES)]
  protocol = f"{CONTRAST_BATCHES} batches as in training"
  spots = sum(int(batch.spot_mask.sum()) for batch in batches)
  for method in ("hibio", "untrained"):
    params = setting.params[method]
    found = [measure(setting.frozen(params, batch, tables), batch, tables) for batch in batches]
    for metric in _LOSSES:
      loss, chance = (float(np.mean([one[f"{what}/{metric}"] for one in found])) for what in _WHAT)
      common = ("contrast", corpus.name, protocol, setting.split, f"loss/{metric}", method)
      yield Row(*common, loss, spots, chance)


def keyword_rows(setting: Setting) -> Iterator[Row]:
  """Each score over the whole panel, where the planted genes are known, and the model's own.

  Gates are those of pretraining, except for raw counts, which have none.
  """
  truth, corpus = planted.truth_of(setting.corpus.path), setting.corpus
  if truth is None:
    return
  test = setting.scored
  counts = np.asarray(test.counts.todense())
  section_row = {s["section_id"]: row for row, s in enumerate(corpus.manifest["sections"])}
  section = np.array([section_row[name] for name in test.spots["section_id"]], np.int32)
  asked = {
    name: configs.KeywordConfig(score=name, spatial_power=0.0)
    for name in ("raw", "tf_idf_smooth", "tf_idf", "surprisal")
  }
  own = setting.model.model.config.keywords
  asked[keywords.called(own.score, own.spatial_power)] = own
  scores = {}
  for name, config in asked.items():
    found = keywords.keyword_scores(
      jnp.asarray(counts)[:, None], setting.tables.statistics, jnp.asarray(section), config
    )
    scores[name] = np.asarray(found)[:, 0]
  yield from keyword_lists.evaluate(
    scores,
    counts > 0,
    planted.planted_genes(truth, corpus.panel, test),
    planted.housekeeping_genes(truth, corpus.panel),
    KEYWORDS,
    corpus.name,
    setting.split,
  )


def _is_probed(feature: str) -> bool:
  """Region means once, anchors by zero-shot classes, controls of other tasks not at all."""
  left = ("@region2", gather.ANCHORS)
  return feature not in NOT_PROBED and not any(one in feature for one in left)


def _zero_shot(setting: Setting, label: str) -> Iterator[Row]:
  """Classes described by gene sets: by the model's anchors, by random ones, by marker means."""
  described_by = _class_sets(setting)
  if described_by is None:
    return
  names, membership, sets_of_class = described_by
  for method in ("hibio", "untrained"):
    yield from _by_anchors(setting, label, method, membership, names, sets_of_class)
  rng = np.random.default_rng(0)
  draws = [
    list(
      _by_anchors(
        setting, label, "hibio", zero_shot.random_sets(membership, rng), names, sets_of_class
      )
    )
    for _ in range(RANDOM_SETS)
  ]
  yield from (_mean_of_draws(rows) for rows in zip(*draws, strict=True))
  cohort = setting.scored.seen_by("pca/gene")
  scores = zero_shot.marker_mean(cohort, membership)
  yield from zero_shot.evaluate(
    cohort, scores, names, label, "marker mean/gene", setting.split, sets_of_class
  )


def _by_anchors(
  setting: Setting,
  label: str,
  method: str,
  membership: np.ndarray,
  names: Sequence[str],
  sets_of_class: Mapping[str, Sequence[str]] | None,
) -> Iterator[Row]:
  """Every modality of a model against anchors made of these gene sets."""
  share = setting.tables.statistics.corpus_document_share
  anchors = np.asarray(pathways.marker_anchors(setting.params[method], membership, share))
  for seen in ("image", "gene", "fused"):
    cohort = setting.scored.seen_by(f"{method}/{seen}")
    if len(cohort.spots):
      scores = zero_shot.similarity(cohort.features[f"{method}/{seen}"], anchors)
      yield from zero_shot.evaluate(
        cohort, scores, names, label, f"{method}/{seen}", setting.split, sets_of_class
      )


def _mean_of_draws(rows: Sequence[Row]) -> Row:
  """The same figure for several draws of random gene sets, as one row of a control."""
  values = [row.value for row in rows if row.value is not None]
  model, _, seen = rows[0].method.partition("/")
  return dataclasses.replace(
    rows[0],
    method=f"random sets, {model}/{seen}",
    value=float(np.mean(values)) if values else None,
    spread=float(np.std(values)) if values else None,
    parts={f"draw {number}": value for number, value in enumerate(values, 1)},
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
