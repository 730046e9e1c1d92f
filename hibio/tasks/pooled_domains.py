"""Domains over all sections together: do clusters follow the tissue, or the section it lies in?

A clustering of one section cannot see that an embedding tells sections apart. One of all sections
can: its clusters then agree with the sections. That is the shortcut, and should be near 0.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from sklearn.metrics import adjusted_rand_score

from hibio.tasks.clusterers import kmeans
from hibio.tasks.cohort import Cohort
from hibio.tasks.domains import nothing_to_find
from hibio.tasks.labelled_rows import labelled_rows
from hibio.tasks.rows import Row


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


def evaluate(
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
        spread=float(np.std(list(parts.values()))),
        parts=parts,
      )
