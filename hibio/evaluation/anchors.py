"""Do the anchors light up where the counts show their pathway, from the image and from the genes?

Every figure stands beside the same figure for random gene sets of the same sizes, whose anchors are
made in the same way, for an untrained model, and for spots that have changed places.
"""

from __future__ import annotations

import dataclasses
import os
from collections import defaultdict
from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata

from data_pipelines.gene_sets import membership, read_gmt
from data_pipelines.loading.corpus import Corpus
from data_pipelines.preparation.spatial_genes import morans_i
from data_pipelines.preparation.spot_graph import spot_graph
from data_pipelines.problems import BadInputError
from hibio import pathways
from hibio.evaluation import zero_shot
from hibio.evaluation.rows import Row
from hibio.evaluation.subject import Subject
from hibio.expression import in_section_units

DRAWS = 20
MODALITIES = ("image", "gene")
MAX_JACCARD = 0.5

ANCHORS, WITHOUT_OFFSET = "anchors", "anchors of member genes alone"
RANDOM, UNTRAINED, SHUFFLED = "random sets", "untrained model", "shuffled spots"


@dataclasses.dataclass(frozen=True)
class GeneSets:
  """Gene sets whose anchors are asked.

  Attributes:
    title: where they come from.
    names: of the sets.
    membership: their genes over the panel.
    trained: whether the model was trained with them; then their anchors have a learned offset.
    notes: what was left out.
  """

  title: str
  names: tuple[str, ...]
  membership: Bool[np.ndarray, "set gene"]
  trained: bool
  notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class AnchorScores:
  """How well anchors follow activities over held-out spots.

  Attributes:
    sets: the gene sets.
    correlation: (method, modality) -> mean over sections of each set's correlation; for random
      sets one row a draw.
    auroc: the same for telling the fifth of spots in which the set is most active.
    spatial: Moran's I of each set's activity, mean over sections.
    activity: section -> activity of each set in each spot.
    score: (section, modality) -> similarity to each anchor.
    num_spots: modality -> spots that have it.
  """

  sets: GeneSets
  correlation: dict[tuple[str, str], Float[np.ndarray, "draw set"]]
  auroc: dict[tuple[str, str], Float[np.ndarray, "draw set"]]
  spatial: Float[np.ndarray, " set"]
  activity: dict[str, Float[np.ndarray, "spot set"]]
  score: dict[tuple[str, str], Float[np.ndarray, "spot set"]]
  num_spots: dict[str, int]


def of_corpus(corpus: Corpus, trained_with: tuple[str, ...] | None) -> GeneSets:
  """The sets that the corpus was prepared with.

  Args:
    trained_with: names of the sets that the model has anchors of; None where it does not say.
  """
  names = corpus.gene_set_names
  known = set(names) if trained_with is None else set(trained_with) & set(names)
  title = f"gene sets of training ({len(names)})"
  if len(known) < len(names):
    title = f"gene sets of the corpus ({len(names)}, {len(known)} of them of training)"
  return GeneSets(title, names, corpus.membership, trained=bool(known))


def held_out(path: str | os.PathLike, corpus: Corpus) -> GeneSets:
  """Sets of a GMT file that resemble none of the corpus', filtered by size like those.

  Raises:
    BadInputError: no set of the file is left.
  """
  names, members, dropped = membership(read_gmt(path), corpus.panel)
  kept = unlike(members, corpus.membership, MAX_JACCARD)
  if not kept.any():
    raise BadInputError(
      path, "gene sets", f"none of {len(names)} unlike those of training",
      f"sets that share no more than {MAX_JACCARD:.0%} of their genes with any of them",
      "give another collection",
    )  # fmt: skip
  notes = [f"{reason}: {count}" for reason, count in dropped.items()]
  notes.append(
    f"left out, Jaccard index above {MAX_JACCARD} with a set of training: {(~kept).sum()}"
  )
  return GeneSets(
    f"held-out gene sets, {os.path.basename(path)} ({kept.sum()})",
    tuple(np.array(names)[kept].tolist()),
    members[kept],
    trained=False,
    notes=tuple(notes),
  )


def measure(subject: Subject, sets: GeneSets) -> AnchorScores:
  """Correlations and AUROC of every set, section by section."""
  rng = np.random.default_rng(0)
  asked = _asked(subject, sets, rng)
  found: dict[str, defaultdict] = {"correlation": defaultdict(list), "auroc": defaultdict(list)}
  spatial, activities, scores = [], {}, {}
  for section, rows in subject.held_out.sections():
    expression, measured = _expression(subject, section, rows)
    positions_um = subject.held_out.spots[["x_um", "y_um"]].to_numpy(np.float64)[rows]
    order = rng.permutation(len(rows))
    for key, (members, anchors_of) in asked.items():
      activity = np.asarray(pathways.activity(expression, measured, jnp.asarray(members)))[0]
      if key == (ANCHORS, 0):
        activities[section] = activity
        spatial.append(morans_i(activity, spot_graph(positions_um)[0]))
      for modality in MODALITIES:
        seen = subject.held_out.spots[_NEEDS[modality]].to_numpy()[rows]
        if seen.sum() < _FEWEST_SPOTS:
          continue
        for model, anchors in anchors_of.items():
          embedding = subject.held_out.features[f"{model}/{modality}"][rows]
          score = zero_shot.similarity(embedding, anchors)
          if key == (ANCHORS, 0) and model == "hibio":
            scores[section, modality] = score
            _add(found, (SHUFFLED, modality, 0), activity[seen], score[order][seen])
          method = key[0] if model == "hibio" else UNTRAINED
          _add(found, (method, modality, key[1]), activity[seen], score[seen])
  return AnchorScores(
    sets=sets,
    correlation=_by_draw(found["correlation"]),
    auroc=_by_draw(found["auroc"]),
    spatial=_mean(np.stack(spatial)),
    activity=activities,
    score=scores,
    num_spots={
      modality: int(subject.held_out.spots[_NEEDS[modality]].sum()) for modality in MODALITIES
    },
  )


def rows(subject: Subject, found: AnchorScores) -> Iterator[Row]:
  """Mean over sets; for random sets over draws as well, with the spread of draws."""
  for modality in MODALITIES:
    for metric, values, chance in (
      ("correlation", found.correlation, 0.0),
      ("auroc", found.auroc, 0.5),
    ):
      for (method, seen), draws in values.items():
        if seen != modality:
          continue
        means = [_mean_of(draw) for draw in draws]
        yield Row(
          "anchors",
          subject.corpus.name,
          f"{found.sets.title}, from the {'H&E' if modality == 'image' else 'counts'}",
          subject.split,
          metric,
          method,
          float(np.mean(means)),
          found.num_spots[modality],
          chance,
          note=f"{len(draws)} draws" if len(draws) > 1 else "",
          spread=float(np.std(means)) if len(draws) > 1 else float(np.nanstd(draws[0])),
          parts=dict(zip(found.sets.names, draws[0].tolist(), strict=True))
          if len(draws) == 1
          else {f"draw {number}": mean for number, mean in enumerate(means, 1)},
        )
    yield from _beyond_random(subject, found, modality)


def _beyond_random(subject: Subject, found: AnchorScores, modality: str) -> Iterator[Row]:
  """Share of sets that follow their activity better than 95 % of random sets do."""
  random = found.correlation.get((RANDOM, modality))
  if random is None or not np.isfinite(random).any():
    return
  limit = float(np.nanquantile(random, 0.95))
  for (method, seen), draws in found.correlation.items():
    if seen == modality:
      defined = draws[np.isfinite(draws)]
      yield Row(
        "anchors",
        subject.corpus.name,
        f"{found.sets.title}, from the {'H&E' if modality == 'image' else 'counts'}",
        subject.split,
        "beyond 95% of random sets",
        method,
        float((defined > limit).mean()) if len(defined) else None,
        found.num_spots[modality],
        0.05,
        note=f"correlation above {limit:.3f}",
      )


_NEEDS = {"image": "has_patch", "gene": "has_counts"}
_FEWEST_SPOTS = 20

_Asked = dict[tuple[str, int], tuple[np.ndarray, dict[str, np.ndarray]]]
"""(method, draw) -> the sets' genes, and each model's anchors of them."""


def _asked(subject: Subject, sets: GeneSets, rng: np.random.Generator) -> _Asked:
  share = subject.tables.statistics.corpus_document_share

  def of_members(model: str, members: np.ndarray) -> np.ndarray:
    return np.asarray(pathways.marker_anchors(subject.params[model], members, share))

  def trained(model: str) -> np.ndarray:
    of = subject.params[model]
    return np.asarray(pathways.pathway_anchors(of, sets.membership, share))

  own = trained if sets.trained else lambda model: of_members(model, sets.membership)
  asked: _Asked = {(ANCHORS, 0): (sets.membership, {m: own(m) for m in subject.params})}
  if sets.trained:
    alone = {"hibio": of_members("hibio", sets.membership)}
    asked[WITHOUT_OFFSET, 0] = (sets.membership, alone)
  for draw in range(DRAWS):
    members = zero_shot.random_sets(sets.membership, rng)
    asked[RANDOM, draw] = (members, {"hibio": of_members("hibio", members)})
  return asked


def _expression(subject: Subject, section: str, rows: np.ndarray):
  """Standardised log expression of a section's spots, as one window, and what is measured."""
  statistics, row = subject.tables.statistics, jnp.array([subject.row_of[section]], jnp.int32)
  counts = jnp.asarray(subject.held_out.counts[rows].toarray().astype(np.int32))[None]
  measured = jnp.asarray(statistics.measured)[row]
  return in_section_units(counts, statistics, row), measured


def _add(found, key: tuple, activity: np.ndarray, score: np.ndarray) -> None:
  found["correlation"][key].append(correlations(activity, score))
  found["auroc"][key].append(aurocs(activity, score))


def _by_draw(found) -> dict[tuple[str, str], np.ndarray]:
  """(method, modality) -> one row a draw: the mean over sections."""
  draws = defaultdict(list)
  for (method, modality, _), sections in found.items():
    draws[method, modality].append(_mean(np.stack(sections)))
  return {key: np.stack(rows) for key, rows in draws.items()}


def _mean(stacked: np.ndarray) -> np.ndarray:
  """Mean over the first axis of what is defined; not-a-number where nothing is."""
  defined = np.isfinite(stacked)
  count = defined.sum(0)
  total = np.where(defined, stacked, 0.0).sum(0)
  return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _mean_of(values: np.ndarray) -> float:
  defined = values[np.isfinite(values)]
  return float(defined.mean()) if len(defined) else float("nan")


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


def unlike(
  sets: Bool[np.ndarray, "set gene"],
  known: Bool[np.ndarray, "known gene"],
  max_jaccard: float = 0.5,
) -> Bool[np.ndarray, " set"]:
  """Sets that share no more than `max_jaccard` of their genes with any known one."""
  if not len(known):
    return np.ones(len(sets), bool)
  a, b = sets.astype(np.float32), known.astype(np.float32)
  common = a @ b.T
  either = a.sum(1)[:, None] + b.sum(1)[None] - common
  return (common / np.maximum(either, 1.0)).max(1) <= max_jaccard
