"""Cross-modal retrieval: does a patch find its own profile, and a profile its own patch?"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float, Int

from hibio.evaluation import galleries, ranking
from hibio.evaluation.cohort import Cohort
from hibio.evaluation.galleries import PairedSpots, paired_spots
from hibio.evaluation.predictions import labelled_rows
from hibio.evaluation.ranking import Score, Standing
from hibio.evaluation.rows import Row, spread_of
from hibio.masked import unit_rows


def of_spots(
  cohort: Cohort,
  image: Float[np.ndarray, "spot width"],
  gene: Float[np.ndarray, "spot width"],
  method: str,
  split: str,
  labels: Sequence[str] = (),
  asked: Sequence[str] | None = None,
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
    asked: sections whose spots are queries; those of the others only stand in galleries.
  """
  spots = paired_spots(cohort, asked)
  common = {"task": "retrieval", "dataset": cohort.dataset, "split": split, "method": method}
  if not len(spots.asked):
    reason = "no spot has both an image and counts"
    yield _missing("image_to_gene and gene_to_image", "recall@1", reason, common)
    return
  image, gene = (unit_rows(one[spots.rows]).astype(np.float32) for one in (image, gene))
  reach = galleries.reach_um(spots)
  codes = {label: _codes(cohort, label)[spots.rows] for label in labels}
  targets = {"own": galleries.own(spots), "near": galleries.near(spots, reach)}
  for label, code in codes.items():
    targets[f"label {label}"] = galleries.same_label(spots, code)
  within = f"within {_range(reach.round())} um in its section"
  for direction, (queries, items) in {
    "image_to_gene": (image, gene),
    "gene_to_image": (gene, image),
  }.items():
    found, first = ranking.stand(
      queries, items, spots.starts, targets, f"retrieval {method} {direction}", spots.asked
    )
    for name, gallery in galleries.GALLERIES.items():
      member = gallery(spots.donors)[spots.asked_section]
      told = {**common, "protocol": f"{direction}, gallery: {name}"}
      yield from _in_gallery(member, found["own"], spots, told)
      yield from _near(member, found["near"], spots, within, told)
    yield from _identity(first, spots, {**common, "protocol": f"{direction}, gallery: all"})
    for label, code in codes.items():
      names = cohort.spots[label].to_numpy(str)[spots.rows]
      told = {**common, "protocol": f"{direction}, gallery: other sections with {label}"}
      yield from _across(names, code, found[f"label {label}"], spots, told)


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
  for score in (*ranking.recalls(rank, size, one), *ranking.share_recalls(rank, size, one)):
    yield _mean(score, spots, common)
  yield _mean(ranking.reciprocal_ranks(rank, size), spots, common)
  for metric in (ranking.median_rank, ranking.median_rank_share):
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
  for score in ranking.recalls(rank, size, near.num_right, "near_recall"):
    yield _mean(score, spots, _sized(common, size), note)


def _identity(
  first: Float[np.ndarray, "query section"], spots: PairedSpots, common: dict[str, str]
) -> Iterator[Row]:
  """Whether the first item at least comes from the right section, and from the right donor."""
  share = spots.section_sizes / len(spots)
  common = _sized(common, np.array([len(spots)]))
  right = {"section_identity": galleries.own_section, "donor_identity": galleries.own_donor}
  for metric, gallery in right.items():
    member = gallery(spots.donors)[spots.asked_section]
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
  member = galleries.other_sections(spots.donors)[spots.asked_section]
  candidates = np.bincount(spots.section[codes >= 0], minlength=len(spots.sections))
  size = (member.astype(np.int64) @ candidates)[scored]
  names, rank = names[spots.asked][scored], found.rank(member)[scored]
  common = _sized(common, size)
  left_out = int((codes[spots.asked] >= 0).sum() - scored.sum())
  note = f"{len(set(names))} labels; {left_out} queries left out: no other section has their label"
  for score in ranking.recalls(rank, size, found.num_right[scored], "label_recall"):
    yield _row(score, {name: names == name for name in sorted(set(names))}, common, note)


def _mean(score: Score, spots: PairedSpots, common: dict[str, str], note: str = "") -> Row:
  of_query = spots.asked_section
  masks = {spots.sections[number]: of_query == number for number in np.unique(of_query)}
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
    spread=spread_of(parts.values()),
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


def of_regions(
  cohort: Cohort,
  image: Float[np.ndarray, "spot width"],
  gene: Float[np.ndarray, "spot width"],
  regions: Int[np.ndarray, " spot"],
  method: str,
  split: str,
  drawn_from: str,
  asked: Sequence[str] | None = None,
) -> Iterator[Row]:
  """As `of_spots`, with the mean of the unit vectors of a region's spots as one item.

  Spots without an image or without counts are left out of their region. Neighbours and labels are
  not asked: a region has neither one place nor one label.

  Args:
    regions: ids of one level, different in different sections.
    drawn_from: what the regions were drawn from, for the protocol.
    asked: sections whose regions are queries; those of the others only stand in galleries.
  """
  both = cohort.spots[["has_patch", "has_counts"]].all(axis=1).to_numpy(bool)
  _, first, of_spot, sizes = np.unique(
    regions[both], return_index=True, return_inverse=True, return_counts=True
  )
  if not len(sizes):
    return
  member = scipy.sparse.csr_matrix(
    (1 / sizes[of_spot], (of_spot, np.arange(len(of_spot)))), shape=(len(sizes), len(of_spot))
  )
  # Items are looked up section by section, in the order of the cohort.
  order = np.argsort(first, kind="stable")
  united, places = cohort.subset(both), ["x_um", "y_um"]
  spots = united.spots.iloc[first[order]].reset_index(drop=True)
  spots[places] = (member @ united.spots[places].to_numpy(np.float64))[order]
  items = dataclasses.replace(
    united, spots=spots, counts=united.counts[first[order]], features={}, readout={}
  )
  means = [
    (member @ unit_rows(one[both]).astype(np.float32).astype(np.float64))[order].astype(np.float32)
    for one in (image, gene)
  ]
  size = f"regions of {np.median(sizes):.0f} spots, drawn from {drawn_from}"
  for row in of_spots(items, *means, method, split, asked=asked):
    if not row.metric.startswith("near_"):
      protocol = f"{size}: {row.protocol.removesuffix(' spots')} regions"
      yield dataclasses.replace(row, task="region_retrieval", protocol=protocol)
