"""Zero-shot spatial domains: do clusters of frozen embeddings follow the annotated layers?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from hibio.tasks.annotation import labelled
from hibio.tasks.clusterers import CLUSTERERS, Clusterer
from hibio.tasks.cohort import Cohort
from hibio.tasks.domain_scores import DomainScores
from hibio.tasks.progress import Progress
from hibio.tasks.rows import Row
from hibio.tasks.smoothing import smooth

SMOOTHINGS = {
  "no smoothing": lambda labels, positions_um: labels,
  "smoothed once over 6 neighbours": smooth,
}
"""What is done to the labels before scoring; without smoothing is the headline."""


def evaluate(
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
