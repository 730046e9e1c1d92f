"""Zero-shot spatial domains: do clusters of frozen embeddings follow the annotated layers?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score

from data_pipelines.console import Progress
from hibio.evaluation.clusterers import CLUSTERERS, Clusterer, kmeans
from hibio.evaluation.cohort import Cohort
from hibio.evaluation.domain_scores import DomainScores, smooth
from hibio.evaluation.predictions import labelled, labelled_rows
from hibio.evaluation.rows import Row, spread_of

SMOOTHINGS = {
  "no smoothing": lambda labels, positions_um: labels,
  "smoothed once over 6 neighbours": smooth,
}
"""What is done to the labels before scoring; without smoothing is the headline."""


def by_clustering(
  cohort: Cohort,
  feature: str,
  label: str,
  method: str,
  split: str,
  clusterers: Sequence[str] = tuple(CLUSTERERS),
  seeds: int = 5,
) -> Iterator[Row]:
  """Each section is clustered on its own into as many domains as it has annotated ones.

  Spots without a label are left out before anything is computed, the graph included. Sections with
  one label have nothing to find and are left out too.

  Args:
    clusterers: names in `clusterers.CLUSTERERS`.
  """
  every = cohort
  cohort = labelled(cohort, label)
  sections = annotated_sections(cohort, label)
  common = {"task": "domains", "dataset": cohort.dataset, "split": split, "method": method}
  if not sections:
    yield nothing_to_find(label, common)
    return
  told = told_of(cohort, every, sections, label)
  for name in clusterers:
    yield from _evaluate(cohort, sections, feature, label, CLUSTERERS[name], seeds, common, told)


def annotated_sections(cohort: Cohort, label: str) -> dict[str, np.ndarray]:
  """Section id -> its spots, for the sections that have two labels or more."""
  names = cohort.spots[label].to_numpy(str)
  return {section: rows for section, rows in cohort.sections() if len(np.unique(names[rows])) > 1}


def nothing_to_find(label: str, common: dict[str, str]) -> Row:
  """The row of a cohort without two labels in any section."""
  reason = f"no section with two labels of {label}"
  protocol = f"domains of {label}"
  return Row(**common, protocol=protocol, metric="ari", value=None, n=0, chance=None, note=reason)


def told_of(cohort: Cohort, every: Cohort, sections: dict[str, np.ndarray], label: str) -> str:
  """What a protocol has to say: k, and how many spots were left out."""
  names = cohort.spots[label].to_numpy(str)
  ks = [len(np.unique(names[rows])) for rows in sections.values()]
  k = f"{min(ks)}" if min(ks) == max(ks) else f"{min(ks)} to {max(ks)}"
  left_out = len(every.spots) - len(cohort.spots)
  return f"k = {k} labels of {label}, {left_out} unlabelled spots left out"


def _evaluate(
  cohort: Cohort,
  sections: dict[str, np.ndarray],
  feature: str,
  label: str,
  clusterer: Clusterer,
  seeds: int,
  common: dict[str, str],
  told: str,
) -> Iterator[Row]:
  protocols = {name: f"{clusterer.name}, {told}, {name}" for name in SMOOTHINGS}
  largest = max(len(rows) for rows in sections.values())
  if clusterer.most_spots is not None and largest > clusterer.most_spots:
    reason = f"{largest:,} spots in a section; fits in memory up to {clusterer.most_spots:,}"
    yield Row(
      **common,
      protocol=protocols["no smoothing"],
      metric="ari",
      value=None,
      n=len(sections),
      chance=None,
      note=reason,
    )
    return
  positions = cohort.spots[["x_um", "y_um"]].to_numpy(np.float64)
  names = cohort.spots[label].to_numpy(str)
  seeds = seeds if clusterer.seeded else 1
  scores = {name: DomainScores() for name in SMOOTHINGS}
  progress = Progress(f"domains {feature} {clusterer.name}", len(sections) * seeds, "runs")
  hits, missed = 0, 0
  for section, rows in sections.items():
    k = len(np.unique(names[rows]))
    for seed in range(seeds):
      runs = clusterer.run(cohort.features[feature][rows], positions[rows], k, seed)
      hit = [len(np.unique(run)) == k for run in runs]
      hits, missed = hits + sum(hit), missed + (not any(hit))
      for name, rule in SMOOTHINGS.items():
        ruled = np.stack([rule(run, positions[rows]) for run in runs])
        scores[name].add(section, names[rows], ruled, positions[rows])
      progress.add()
  note = _note(clusterer, len(sections), seeds, hits, missed)
  for name in SMOOTHINGS:
    yield from scores[name].rows({**common, "protocol": protocols[name]}, note)


def _note(clusterer: Clusterer, sections: int, seeds: int, hits: int, missed: int) -> str:
  runs = sections * seeds
  note = f"{sections} sections x {seeds} seeds"
  if clusterer.num_tried > 1:
    note += (
      f"; median over the resolutions that gave k domains, {hits / runs:.1f} of"
      f" {clusterer.num_tried} on average"
    )
  if missed:
    note += f"; {missed} of {runs} never gave k domains: the nearest number was scored"
  return note


def centred(
  cohort: Cohort, features: Float[np.ndarray, "spot width"]
) -> Float[np.ndarray, "spot width"]:
  """Each section's features about their own mean: what differs between sections is taken out."""
  values = np.array(features, np.float64)
  for _, rows in cohort.sections():
    values[rows] -= values[rows].mean(0)
  return values.astype(features.dtype)


CENTRINGS = {
  "as they are": lambda cohort, features: features,
  "centred in each section": centred,
}
"""What is done to the features first. A section is centred with its unlabelled spots."""


def by_pooled_clustering(
  cohort: Cohort, feature: str, label: str, method: str, split: str, seeds: int = 5
) -> Iterator[Row]:
  """k-means over the spots of all sections, with as many clusters as there are labels.

  `ari` is the agreement with the label, `section_ari` that with the section a spot comes from: 0
  for a clustering that says nothing of it. Chance deals the same clusters out to the spots at
  random. `parts` and `spread` are over seeds.
  """
  rows = labelled_rows(cohort, label)
  names = cohort.spots[label].to_numpy(str)[rows]
  sections = cohort.spots["section_id"].to_numpy(str)[rows]
  common = {"task": "pooled_domains", "dataset": cohort.dataset, "split": split, "method": method}
  k = len(np.unique(names))
  if k < 2 or len(np.unique(sections)) < 2:
    yield nothing_to_find(label, common)
    return
  positions = cohort.spots[["x_um", "y_um"]].to_numpy(np.float64)[rows]
  itself = adjusted_rand_score(names, sections)
  rng = np.random.default_rng(0)
  for how, prepare in CENTRINGS.items():
    values = prepare(cohort, cohort.features[feature])[rows]
    found = [kmeans(values, positions, k, seed)[0] for seed in range(seeds)]
    protocol = f"k-means over {len(np.unique(sections))} sections together, {how}, k = {k} {label}"
    for metric, truth in (("ari", names), ("section_ari", sections)):
      parts = {f"seed {seed}": adjusted_rand_score(truth, one) for seed, one in enumerate(found)}
      dealt = [adjusted_rand_score(truth, rng.permutation(one)) for one in found]
      yield Row(
        **common,
        protocol=protocol,
        metric=metric,
        value=float(np.mean(list(parts.values()))),
        n=len(rows),
        chance=float(np.mean(dealt)),
        note=f"the annotation itself has {itself:.3f}" if metric == "section_ari" else "",
        spread=spread_of(parts.values()),
        parts=parts,
      )


def region_mean(
  features: Float[np.ndarray, "spot width"], regions: Int[np.ndarray, " spot"]
) -> Float[np.ndarray, "spot width"]:
  """Each spot's features replaced by their mean over its region.

  Args:
    regions: ids of one level, different in different sections.
  """
  return _means(features, regions)[np.unique(regions, return_inverse=True)[1]]


def cut(
  features: Float[np.ndarray, "spot width"], regions: Int[np.ndarray, " spot"], k: int
) -> Int[np.ndarray, " spot"]:
  """One section's regions united into `k` domains by Ward's criterion on their mean features.

  A region counts once, whatever its size. With `k` regions or fewer each stays a domain.
  """
  of_spot = np.unique(regions, return_inverse=True)[1]
  num_regions = int(of_spot.max()) + 1
  if num_regions <= k:
    return of_spot
  means = _means(features, regions)
  return AgglomerativeClustering(k, linkage="ward").fit_predict(means)[of_spot].astype(np.int64)


def by_region_tree(
  cohort: Cohort,
  regions: Int[np.ndarray, "level spot"],
  feature: str,
  label: str,
  method: str,
  split: str,
) -> Iterator[Row]:
  """Each level as it stands, and cut to as many domains as the section has labels.

  The regions were drawn with all spots; scores are over those with a label. Chance deals the
  regions' ids out to the spots at random: it keeps their sizes but not that they are contiguous,
  which by itself agrees with contiguous layers. Regions drawn from coordinates alone are the fair
  control: hand them in under a `method` of their own.

  Args:
    regions: the region of each spot of `cohort`, finest level first.
    feature: what resemblance of regions is judged by when they are united.
  """
  scored, regions = labelled(cohort, label), regions[:, labelled_rows(cohort, label)]
  sections = annotated_sections(scored, label)
  common = {"task": "domains", "dataset": cohort.dataset, "split": split, "method": method}
  if not sections:
    yield nothing_to_find(label, common)
    return
  told = told_of(scored, cohort, sections, label)
  for level, ids in enumerate(regions, start=1):
    yield from _level(scored, sections, ids, level, feature, label, told, common)


def _level(
  scored: Cohort,
  sections: dict[str, np.ndarray],
  ids: Int[np.ndarray, " spot"],
  level: int,
  feature: str,
  label: str,
  told: str,
  common: dict[str, str],
) -> Iterator[Row]:
  positions = scored.spots[["x_um", "y_um"]].to_numpy(np.float64)
  names = scored.spots[label].to_numpy(str)
  standing, united, counts, short = DomainScores(), DomainScores(), {}, []
  for section, rows in sections.items():
    k = len(np.unique(names[rows]))
    own = np.unique(ids[rows], return_inverse=True)[1]
    counts[section] = float(own.max() + 1)
    domains = cut(scored.features[feature][rows], own, k)
    if counts[section] < k:
      short.append(f"{section} has {counts[section]:.0f} regions for {k} domains")
    standing.add(section, names[rows], own[None], positions[rows])
    united.add(section, names[rows], domains[None], positions[rows])
  protocol = f"region level {level} as it stands, {label}"
  note = f"{np.mean(list(counts.values())):.0f} regions a section"
  yield Row(
    **common,
    protocol=protocol,
    metric="regions_per_section",
    value=float(np.mean(list(counts.values()))),
    n=len(counts),
    chance=None,
    spread=spread_of(counts.values()),
    parts=counts,
  )
  for row in standing.rows({**common, "protocol": protocol}, note):
    if row.metric in ("ari", "homogeneity"):
      yield row
  protocol = f"region level {level} cut by Ward, {told}"
  yield from united.rows({**common, "protocol": protocol}, "; ".join([note, *short]))


def _means(
  features: Float[np.ndarray, "spot width"], regions: Int[np.ndarray, " spot"]
) -> Float[np.ndarray, "region width"]:
  _, of_spot, sizes = np.unique(regions, return_inverse=True, return_counts=True)
  spots = len(of_spot)
  member = scipy.sparse.csr_matrix(
    (np.ones(spots), (of_spot, np.arange(spots))), shape=(len(sizes), spots)
  )
  totals = member @ features.astype(np.float64)
  return (totals / sizes[:, None]).astype(features.dtype)
