"""Cross-modal retrieval: does a patch find its own profile, and a profile its own patch?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from hibio.tasks import galleries, ranking, right_answers
from hibio.tasks import retrieval_metrics as metrics
from hibio.tasks.cohort import Cohort
from hibio.tasks.labelled_rows import labelled_rows
from hibio.tasks.paired_spots import PairedSpots, paired_spots
from hibio.tasks.ranking import Standing
from hibio.tasks.retrieval_metrics import Score
from hibio.tasks.rows import Row


def evaluate(
  cohort: Cohort,
  image: Float[np.ndarray, "spot width"],
  gene: Float[np.ndarray, "spot width"],
  method: str,
  split: str,
  labels: Sequence[str] = (),
) -> Iterator[Row]:
  """Both directions over the spots that have both modalities, by cosine.

  For each gallery of `galleries.GALLERIES`: recall at k and at a share of the gallery, median rank,
  mean reciprocal rank, and recall of the spot or a neighbour of it (`near_recall`). In the gallery
  of all spots, whether the first item comes from the query's section and donor. For each label, in
  the gallery of the other sections' labelled spots, whether one of the first k items carries the
  query's label (`label_recall`).

  A value is the mean over queries. `chance` is that of a random order, exactly; for the median
  share of galleries of several sizes to half an item. `spread` and `parts` are over sections, for
  `label_recall` over labels: a frequent one is found by guessing.

  Args:
    labels: columns of `cohort.spots`.
  """
  spots = paired_spots(cohort)
  common = {"task": "retrieval", "dataset": cohort.dataset, "split": split, "method": method}
  if not len(spots):
    reason = "no spot has both an image and counts"
    yield _missing("image_to_gene and gene_to_image", "recall@1", reason, common)
    return
  image, gene = unit(image[spots.rows]), unit(gene[spots.rows])
  reach = right_answers.reach_um(spots)
  codes = {label: _codes(cohort, label)[spots.rows] for label in labels}
  targets = {"own": right_answers.own(spots), "near": right_answers.near(spots, reach)}
  for label, code in codes.items():
    targets[f"label {label}"] = right_answers.same_label(spots, code)
  within = f"within {_range(reach.round())} um in its section"
  for direction, (queries, items) in {
    "image_to_gene": (image, gene),
    "gene_to_image": (gene, image),
  }.items():
    found, first = ranking.stand(
      queries, items, spots.starts, targets, f"retrieval {method} {direction}"
    )
    for name, gallery in galleries.GALLERIES.items():
      member = gallery(spots.donors)[spots.section]
      told = {**common, "protocol": f"{direction}, gallery: {name}"}
      yield from _in_gallery(member, found["own"], spots, told)
      yield from _near(member, found["near"], spots, within, told)
    yield from _identity(first, spots, {**common, "protocol": f"{direction}, gallery: all"})
    for label, code in codes.items():
      names = cohort.spots[label].to_numpy(str)[spots.rows]
      told = {**common, "protocol": f"{direction}, gallery: other sections with {label}"}
      yield from _across(names, code, found[f"label {label}"], spots, told)


def unit(vectors: Float[np.ndarray, "spot width"]) -> Float[np.ndarray, "spot width"]:
  """Rows scaled to length 1, in float32; a zero row stays zero."""
  lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
  return (vectors / lengths).astype(np.float32)


def _codes(cohort: Cohort, label: str) -> Int[np.ndarray, " spot"]:
  """A number for each spot's label; -1 without one."""
  known = labelled_rows(cohort, label)
  codes = np.full(len(cohort.spots), -1)
  codes[known] = np.unique(cohort.spots[label].to_numpy(str)[known], return_inverse=True)[1]
  return codes


def _in_gallery(
  member: Bool[np.ndarray, "query section"],
  own: Standing,
  spots: PairedSpots,
  common: dict[str, str],
) -> Iterator[Row]:
  """Recalls and ranks of the spot itself."""
  size, rank = _size(member, spots), own.rank(member)
  common = _sized(common, size)
  one = np.ones(len(size), np.int64)
  for score in (*metrics.recalls(rank, size, one), *metrics.share_recalls(rank, size, one)):
    yield _mean(score, spots, common)
  yield _mean(metrics.reciprocal_ranks(rank, size), spots, common)
  for metric in (metrics.median_rank, metrics.median_rank_share):
    value, chance = metric(rank, size)
    name, n = metric.__name__, len(rank)
    yield Row(**common, metric=name, value=value, n=n, chance=chance, note="lower is better")


def _near(
  member: Bool[np.ndarray, "query section"],
  near: Standing,
  spots: PairedSpots,
  within: str,
  common: dict[str, str],
) -> Iterator[Row]:
  """Recalls of the spot or a neighbour of it."""
  size, rank = _size(member, spots), near.rank(member)
  note = f"{within}: {near.num_right.mean():.1f} right answers on average, the spot included"
  for score in metrics.recalls(rank, size, near.num_right, "near_recall"):
    yield _mean(score, spots, _sized(common, size), note)


def _identity(
  first: Float[np.ndarray, "query section"], spots: PairedSpots, common: dict[str, str]
) -> Iterator[Row]:
  """Whether the first item at least comes from the right section, and from the right donor."""
  share = spots.section_sizes / len(spots)
  common = _sized(common, np.array([len(spots)]))
  right = {"section_identity": galleries.own_section, "donor_identity": galleries.own_donor}
  for metric, gallery in right.items():
    member = gallery(spots.donors)[spots.section]
    hit = (first * member).sum(axis=1).astype(float)
    yield _mean(Score(metric, hit, member @ share), spots, common, "of the first item")


def _across(
  names: np.ndarray,
  codes: Int[np.ndarray, " spot"],
  found: Standing,
  spots: PairedSpots,
  common: dict[str, str],
) -> Iterator[Row]:
  """Whether other sections answer with the query's label."""
  scored = found.num_right > 0
  if not scored.any():
    reason = "no two sections share a label"
    yield _missing(common["protocol"], "label_recall@1", reason, common)
    return
  member = galleries.other_sections(spots.donors)[spots.section]
  candidates = np.bincount(spots.section[codes >= 0], minlength=len(spots.sections))
  size = (member.astype(np.int64) @ candidates)[scored]
  names, rank, common = names[scored], found.rank(member)[scored], _sized(common, size)
  left_out = int((codes >= 0).sum() - scored.sum())
  note = f"{len(set(names))} labels; {left_out} queries left out: no other section has their label"
  for score in metrics.recalls(rank, size, found.num_right[scored], "label_recall"):
    yield _row(score, {name: names == name for name in sorted(set(names))}, common, note)


def _mean(score: Score, spots: PairedSpots, common: dict[str, str], note: str = "") -> Row:
  masks = {name: spots.section == number for number, name in enumerate(spots.sections)}
  return _row(score, masks, common, note)


def _row(score: Score, masks: dict[str, np.ndarray], common: dict[str, str], note: str) -> Row:
  parts = {name: float(score.values[mask].mean()) for name, mask in masks.items()}
  return Row(
    **common,
    metric=score.metric,
    value=float(score.values.mean()),
    n=len(score.values),
    chance=float(score.chance.mean()),
    note=note,
    spread=float(np.std(list(parts.values()))),
    parts=parts,
  )


def _missing(protocol: str, metric: str, reason: str, common: dict[str, str]) -> Row:
  common = {**common, "protocol": protocol}
  return Row(**common, metric=metric, value=None, n=0, chance=None, note=reason)


def _size(
  member: Bool[np.ndarray, "query section"], spots: PairedSpots
) -> Int[np.ndarray, " query"]:
  return member.astype(np.int64) @ spots.section_sizes


def _sized(common: dict[str, str], size: np.ndarray) -> dict[str, str]:
  return {**common, "protocol": f"{common['protocol']}, {_range(size)} spots"}


def _range(values: np.ndarray) -> str:
  low, high = int(values.min()), int(values.max())
  return f"{low}" if low == high else f"{low} to {high}"
