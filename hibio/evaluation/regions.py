"""Are the model's regions contiguous, nested, of even size, and true to labels? Beside controls.

Regions of coordinates alone and of principal components are drawn by the same algorithm: what they
reach, contiguity gives for free.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import scipy.sparse
from jaxtyping import Int
from scipy.sparse.csgraph import connected_components
from sklearn.metrics import homogeneity_score

from data_pipelines.preparation.regions import nested_regions, stacked
from data_pipelines.preparation.spot_graph import spot_graph
from hibio.evaluation.baselines import counts
from hibio.evaluation.predictions import is_labelled
from hibio.evaluation.rows import Row
from hibio.evaluation.subject import Subject
from hibio.training import metrics

MODEL, COORDINATES = "hibio", "coordinates alone"


@dataclasses.dataclass(frozen=True)
class Regions:
  """Nested regions of the held-out spots, finest first, drawn from several features."""

  of: dict[str, np.ndarray]


def measure(subject: Subject) -> Regions:
  """The model's regions, and those of controls."""
  cohort = subject.held_out
  seen = "hibio/fused" if cohort.spots["has_patch"].any() else "hibio/gene"
  features = {
    MODEL: cohort.features[seen],
    "principal components of the counts": counts.expression_pca(cohort, cohort),
    # All alike, so that only places count. Regions look at the direction of features alone:
    # coordinates as features would give wedges around the middle.
    COORDINATES: np.ones((len(cohort.spots), 1), np.float32),
  }
  return Regions({name: _drawn(subject, values) for name, values in features.items()})


def rows(subject: Subject, found: Regions) -> Iterator[Row]:
  """Shape and homogeneity at each level; chance is that of labels that have changed places."""
  for level in range(len(next(iter(found.of.values())))):
    for method, ids in found.of.items():
      for metric, parts, chance in _shapes(subject, ids, level):
        yield _row(subject, level, metric, method, parts, chance)
      for label in subject.corpus.manifest["labels"]:
        parts, guesses = _homogeneity(subject, ids[level], label)
        if parts:
          chance = float(np.mean(list(guesses.values())))
          yield _row(subject, level, f"homogeneity, {label}", method, parts, chance)


def refreshes(subject: Subject) -> list[dict[str, float]]:
  """The lines of training in which regions were drawn anew, as far as they speak of regions."""
  lines = metrics.read(subject.model.workdir)
  return [
    {"step": line["step"], **{n: v for n, v in line.items() if n.startswith("regions/")}}
    for line in lines
    if any(name.startswith("regions/") for name in line)
  ]


def sizes_of_each(found: Regions, level: int) -> dict[str, np.ndarray]:
  """Spots of each region, by what the regions were drawn from."""
  return {name: sizes(ids[level]) for name, ids in found.of.items()}


def _aims(subject: Subject) -> tuple[int, ...]:
  """Spots of a region at each level, as the corpus was prepared for."""
  return tuple(subject.corpus.manifest["region_spots"])


def _drawn(subject: Subject, features: np.ndarray) -> np.ndarray:
  cohort, parts = subject.held_out, []
  positions_um = cohort.spots[["x_um", "y_um"]].to_numpy(np.float64)
  for _, rows in cohort.sections():
    parts.append(nested_regions(features[rows], positions_um[rows], _aims(subject)))
  return stacked(parts)


def _shapes(
  subject: Subject, ids: np.ndarray, level: int
) -> Iterator[tuple[str, dict[str, float], float | None]]:
  """(metric, section -> value, chance); shapes have no chance, only controls."""
  cohort = subject.held_out
  positions_um = cohort.spots[["x_um", "y_um"]].to_numpy(np.float64)
  values: dict[str, dict[str, float]] = {}
  for section, rows in cohort.sections():
    own, graph = ids[:, rows], spot_graph(positions_um[rows])[0]
    spots = sizes(own[level])
    shown = {
      "regions": float(len(spots)),
      "in one piece": in_one_piece(own[level], graph),
      "smallest": float(spots.min()),
      "median spots": float(np.median(spots)),
      "largest": float(spots.max()),
    }
    if level + 1 < len(own):
      shown["inside one coarser"] = nested(own[level], own[level + 1])
    for metric, value in shown.items():
      values.setdefault(metric, {})[section] = value
  for metric, parts in values.items():
    yield metric, parts, None


def _homogeneity(
  subject: Subject, ids: np.ndarray, label: str
) -> tuple[dict[str, float], dict[str, float]]:
  """Section -> homogeneity, and the same with labels that have changed places in the section."""
  cohort, rng = subject.held_out, np.random.default_rng(0)
  names, labelled = cohort.spots[label].astype(str).to_numpy(), is_labelled(cohort, label)
  parts, guesses = {}, {}
  for section, rows in cohort.sections():
    rows = rows[labelled[rows]]
    if len(np.unique(names[rows])) > 1:
      parts[section] = float(homogeneity_score(names[rows], ids[rows]))
      guesses[section] = float(homogeneity_score(rng.permutation(names[rows]), ids[rows]))
  return parts, guesses


def _row(
  subject: Subject, level: int, metric: str, method: str, parts: dict, chance: float | None
) -> Row:
  values = np.array(list(parts.values()))
  return Row(
    "regions",
    subject.corpus.name,
    f"level {level + 1}, aims for {_aims(subject)[level]} spots",
    subject.split,
    metric,
    method,
    float(values.mean()),
    len(values),
    chance,
    spread=float(values.std()),
    parts=parts,
  )


def in_one_piece(ids: Int[np.ndarray, " spot"], graph: scipy.sparse.csr_matrix) -> float:
  """Share of a section's regions whose spots hang together.

  Args:
    graph: True for spots that touch.
  """
  edges = scipy.sparse.coo_matrix(graph)
  inside = ids[edges.row] == ids[edges.col]
  kept = scipy.sparse.csr_matrix(
    (np.ones(inside.sum(), bool), (edges.row[inside], edges.col[inside])), shape=graph.shape
  )
  piece = connected_components(kept, directed=False)[1]
  pieces = np.unique(np.stack([ids, piece]), axis=1)[0]
  return float((np.unique(pieces, return_counts=True)[1] == 1).mean())


def nested(fine: Int[np.ndarray, " spot"], coarse: Int[np.ndarray, " spot"]) -> float:
  """Share of the finer regions that lie in a single coarser one."""
  parents = np.unique(np.stack([fine, coarse]), axis=1)[0]
  return float((np.unique(parents, return_counts=True)[1] == 1).mean())


def sizes(ids: Int[np.ndarray, " spot"]) -> Int[np.ndarray, " region"]:
  """Spots of each region."""
  return np.unique(ids, return_counts=True)[1]
