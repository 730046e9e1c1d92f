"""Level 2, pathway anchors: do they light up where the counts show their pathway?

Asked from the image and from the counts, on held-out donors. Every figure stands beside the same
figure for random gene sets of the same sizes, whose anchors are made in the same way, and for spots
that have changed places.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping

import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Array, Bool, Float
from scipy.stats import rankdata

from data_pipelines.preparation.spatial_genes import morans_i
from data_pipelines.preparation.spot_graph import spot_graph
from hibio import pathways
from hibio.evaluation import gene_sets, zero_shot
from hibio.evaluation.cohort import Cohort
from hibio.evaluation.cohort import modality as seen_by
from hibio.evaluation.expression_probes import ridge_cv
from hibio.evaluation.gene_sets import GeneSets
from hibio.evaluation.methods import Method
from hibio.evaluation.rows import Row, mean_defined
from hibio.evaluation.setting import Setting
from hibio.expression import standardised_in_sections
from hibio.training.tables import gene_set_names

DRAWS = 20
"""Random collections of gene sets that the anchors are compared with."""

ANCHORS, MEMBERS, RANDOM, SHUFFLED = "", "member genes", "random sets", "shuffled spots"
"""The anchors as they are; without their learned offset; two controls that must fail."""

NEEDS = {"image": "has_patch", "gene": "has_counts"}
"""Modality -> the column that says which spots have it."""

_FEWEST_SPOTS = 20
"""Spots of a section that must have a modality, for a correlation to say anything."""


@dataclasses.dataclass(frozen=True)
class Agreement:
  """How well similarities to anchors follow the activities of their sets, mean over sections.

  Attributes:
    correlation: of each set, one row a draw; several draws of random sets only.
    auroc: of telling the fifth of spots in which the set is most active, likewise.
  """

  correlation: Float[np.ndarray, "draw set"]
  auroc: Float[np.ndarray, "draw set"]


@dataclasses.dataclass(frozen=True)
class AnchorScores:
  """What a model's anchors reach on the spots of scored donors.

  Attributes:
    sets: the gene sets.
    spatial: Moran's I of each set's activity, mean over sections.
    seen_from: modality -> kind -> agreement.
  """

  sets: GeneSets
  spatial: Float[np.ndarray, " set"]
  seen_from: Mapping[str, Mapping[str, Agreement]]


def rows(setting: Setting, method: Method) -> Iterator[Row]:
  """How well activities are followed, for every collection of gene sets.

  By a model's anchors; and by a ridge on whatever a method sees in the image, which unlike anchors
  is fitted to the activities of the same sets on the other donors.
  """
  for sets in asked_sets(setting):
    for feature in setting.features_of(method):
      if seen_by(feature) == "image":
        yield from _by_ridge(setting, feature, sets)
    if not method.is_model:
      continue
    found = scores(setting, method, sets)
    for seen, kinds in found.seen_from.items():
      num_spots = int(setting.scored.spots[NEEDS[seen]].sum())
      random = kinds[RANDOM].correlation
      limit = float(np.nanquantile(random, 0.95)) if np.isfinite(random).any() else None
      for kind, one in kinds.items():
        common = {
          "task": "anchors",
          "dataset": setting.corpus.name,
          "protocol": sets.title,
          "split": setting.split,
          "method": name_of(method.name, seen, kind),
          "n": num_spots,
        }
        yield _mean_row(sets, one.correlation, metric="correlation", chance=0.0, **common)
        yield _mean_row(sets, one.auroc, metric="auroc", chance=0.5, **common)
        if limit is not None:
          yield _beyond(one.correlation, limit, metric="beyond 95% of random sets", **common)


def _by_ridge(setting: Setting, feature: str, sets: GeneSets) -> Iterator[Row]:
  """Activities of held-out donors as a ridge on a feature of the image predicts them."""
  cohort = dataclasses.replace(
    setting.cohort, features={feature: setting.cohort.features[feature]}, readout={}
  )
  cohort = cohort.seen_by(feature)
  cohort = cohort.subset(cohort.spots["has_counts"].to_numpy(bool))
  found = []
  for fold in setting.folds:
    fit, test = fold.split(cohort)
    if min(len(fit.spots), len(test.spots)) < _FEWEST_SPOTS:
      continue
    predict = ridge_cv(fit.features[feature], fit.spots, test.features[feature])
    predicted, note = predict(activity(setting, fit, sets.membership))
    truth = activity(setting, test, sets.membership)
    found += [_agreement(truth[rows], predicted[rows]) for _, rows in test.sections()]
  if not found:
    return
  for metric, chance, values in zip(
    ("correlation", "auroc"), (0.0, 0.5), zip(*found, strict=True), strict=True
  ):
    yield _mean_row(
      sets,
      mean_defined(np.stack(values), axis=0)[None],
      metric=metric, chance=chance, task="anchors", dataset=setting.corpus.name,
      protocol=sets.title, split=setting.split, method=f"{feature}@ridge", n=len(cohort.spots),
    )  # fmt: skip


def name_of(model: str, modality: str, kind: str) -> str:
  """What tables call a model's anchors as seen from a modality, or a control of them."""
  name = f"{model}/{modality}"
  return {ANCHORS: name, MEMBERS: f"{name}@{MEMBERS}"}.get(kind, f"{kind}, {name}")


def _mean_row(sets: GeneSets, draws: Float[np.ndarray, "draw set"], **common) -> Row:
  """Mean over sets, with their spread; for random sets over draws as well, with that of draws."""
  means = [mean_defined(draw) for draw in draws]
  if len(draws) > 1:
    parts = {f"draw {number}": mean for number, mean in enumerate(means, 1)}
    note, spread = f"mean of {len(draws)} draws of sets of the same sizes", np.std(means)
  else:
    parts = dict(zip(sets.names, draws[0].tolist(), strict=True))
    note, spread = "; ".join(sets.notes), np.nanstd(draws[0])
  return Row(value=float(np.mean(means)), note=note, spread=float(spread), parts=parts, **common)


def _beyond(draws: Float[np.ndarray, "draw set"], limit: float, **common) -> Row:
  """Share of sets that follow their activity better than 95 % of random sets do."""
  defined = draws[np.isfinite(draws)]
  share = float((defined > limit).mean()) if len(defined) else None
  return Row(value=share, chance=0.05, note=f"correlation above {limit:.3f}", **common)


def asked_sets(setting: Setting) -> tuple[GeneSets, ...]:
  """The gene sets of the corpus, then those given beside them; either may be missing."""
  own = gene_sets.of_corpus(setting.corpus, gene_set_names(setting.model.workdir))
  return tuple(sets for sets in (own, setting.held_out_sets) if sets is not None and sets.names)


def scores(setting: Setting, method: Method, sets: GeneSets) -> AnchorScores:
  """What a model's anchors reach; measured once, for rows and figures."""
  key = ("anchors", method.name, sets.title)
  return setting.once(key, lambda: _measured(setting, method, sets))


def _measured(setting: Setting, method: Method, sets: GeneSets) -> AnchorScores:
  rng, scored = np.random.default_rng(0), setting.scored
  asked = _asked(method, sets, rng)
  found: dict[tuple[str, str, int], list] = defaultdict(list)
  spatial = []
  for section, rows in scored.sections():
    expression = _expression(setting, section, scored.counts[rows])
    graph = spot_graph(scored.spots[["x_um", "y_um"]].to_numpy(np.float64)[rows])[0]
    order = rng.permutation(len(rows))
    for kind, draw, members, anchors in asked:
      active = np.asarray(pathways.activity(*expression, jnp.asarray(members)))[0, : len(rows)]
      if kind == ANCHORS:
        spatial.append(morans_i(active, graph))
      for modality, needed in NEEDS.items():
        seen = scored.spots[needed].to_numpy()[rows]
        if seen.sum() < _FEWEST_SPOTS:
          continue
        score = zero_shot.similarity(scored.features[f"{method.name}/{modality}"][rows], anchors)
        found[modality, kind, draw].append(_agreement(active[seen], score[seen]))
        if kind == ANCHORS:
          found[modality, SHUFFLED, draw].append(_agreement(active[seen], score[order][seen]))
  return AnchorScores(sets, mean_defined(np.stack(spatial), axis=0), _by_draw(found))


def _asked(
  method: Method, sets: GeneSets, rng: np.random.Generator
) -> list[tuple[str, int, np.ndarray, np.ndarray]]:
  """(kind, draw, genes of the sets, their anchors)."""
  asked = [(ANCHORS, 0, sets.membership, anchors_of(method, sets))]
  if sets.trained:
    asked.append((MEMBERS, 0, sets.membership, _of_members(method, sets.membership)))
  random = [zero_shot.random_sets(sets.membership, rng) for _ in range(DRAWS)]
  random = [(RANDOM, draw, genes, _of_members(method, genes)) for draw, genes in enumerate(random)]
  return [*asked, *random]


def anchors_of(method: Method, sets: GeneSets) -> Float[np.ndarray, "set width"]:
  """A model's anchors of gene sets; with their learned offset if it was trained with them."""
  if not sets.trained:
    return _of_members(method, sets.membership)
  share = method.tables.statistics.corpus_document_share
  return np.asarray(pathways.pathway_anchors(method.params, sets.membership, share))


def _of_members(method: Method, membership: np.ndarray) -> Float[np.ndarray, "set width"]:
  share = method.tables.statistics.corpus_document_share
  return np.asarray(pathways.marker_anchors(method.params, membership, share))


def activity(
  setting: Setting, cohort: Cohort, membership: Bool[np.ndarray, "set gene"]
) -> Float[np.ndarray, "spot set"]:
  """Activity of gene sets in the spots of whole sections, as the counts show it."""
  found = np.zeros((len(cohort.spots), len(membership)), np.float32)
  for section, rows in cohort.sections():
    expression = _expression(setting, section, cohort.counts[rows])
    found[rows] = pathways.activity(*expression, jnp.asarray(membership))[0, : len(rows)]
  return found


_BLOCK = 512


def _expression(
  setting: Setting, section: str, counts: scipy.sparse.csr_matrix
) -> tuple[Float[Array, "1 spot gene"], Bool[Array, "1 gene"]]:
  """Standardised log expression of a section's spots, as one window, and what is measured.

  Filled up with empty spots, so that sections of nearly one size are one shape to compile.
  """
  statistics = setting.tables.statistics
  row = jnp.array([setting.corpus.row_of[section]], jnp.int32)
  window = np.zeros((1, -(-counts.shape[0] // _BLOCK) * _BLOCK, counts.shape[1]), np.int32)
  window[0, : counts.shape[0]] = counts.toarray()
  window = jnp.asarray(window)
  return standardised_in_sections(window, statistics, row), jnp.asarray(statistics.measured)[row]


def _agreement(activity: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  return correlations(activity, score), aurocs(activity, score)


def _by_draw(
  found: Mapping[tuple[str, str, int], list[tuple[np.ndarray, np.ndarray]]],
) -> dict[str, dict[str, Agreement]]:
  """Means over sections, draws of one kind stacked."""
  draws: dict[tuple[str, str], list] = defaultdict(list)
  for (modality, kind, _), sections in found.items():
    measures = zip(*sections, strict=True)
    draws[modality, kind].append([mean_defined(np.stack(one), axis=0) for one in measures])
  seen_from: dict[str, dict[str, Agreement]] = defaultdict(dict)
  for (modality, kind), measured in draws.items():
    seen_from[modality][kind] = Agreement(*map(np.stack, zip(*measured, strict=True)))
  return dict(seen_from)


ACTIVE_SHARE = 0.2
"""A set counts as active in the fifth of a section's spots where its activity is highest."""

_FLAT = 1e-9


def correlations(
  activity: Float[np.ndarray, "spot set"], score: Float[np.ndarray, "spot set"]
) -> Float[np.ndarray, " set"]:
  """Pearson correlation of each set's activity and score; not-a-number where one is constant."""
  a, b = (one.astype(np.float64) - one.mean(0, dtype=np.float64) for one in (activity, score))
  norms = np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0)
  return np.where(norms > _FLAT, (a * b).sum(0) / np.maximum(norms, _FLAT), np.nan)


def aurocs(
  activity: Float[np.ndarray, "spot set"], score: Float[np.ndarray, "spot set"]
) -> Float[np.ndarray, " set"]:
  """Chance that a spot in which the set is active scores above another one, for each set.

  The Mann-Whitney statistic over its largest value; equal scores count half. Not-a-number where
  the activity is constant.
  """
  active = activity > np.quantile(activity, 1 - ACTIVE_SHARE, axis=0)
  positive = active.sum(0)
  pairs = positive * (len(active) - positive)
  wins = np.where(active, rankdata(score, axis=0), 0.0).sum(0) - positive * (positive + 1) / 2
  return np.where(pairs > 0, wins / np.maximum(pairs, 1), np.nan)
