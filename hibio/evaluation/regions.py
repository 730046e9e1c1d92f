"""Level 3, nested regions: are they contiguous, nested, of even size, and true to labels?

Regions of coordinates alone and of principal components come from the same algorithm: what they
reach, contiguity gives for free.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse
from jaxtyping import Int
from scipy.sparse.csgraph import connected_components
from sklearn.metrics import homogeneity_score

from data_pipelines.preparation.spot_graph import spot_graph
from hibio.evaluation.methods import Method
from hibio.evaluation.predictions import is_labelled
from hibio.evaluation.rows import Row, over_parts
from hibio.evaluation.setting import Setting


def rows(setting: Setting, method: Method) -> Iterator[Row]:
  """Shape and homogeneity at each level of a method's regions; only labels have a chance, which is
  that of labels that have changed places within the section."""
  feature = setting.tree_of(method)
  if not feature:
    return
  regions = setting.regions(feature)[:, setting.is_scored]
  for level, side in enumerate(setting.corpus.region_um):
    measures = {metric: (parts, None) for metric, parts in _shapes(setting, regions, level).items()}
    for label in setting.labels:
      parts, guesses = _homogeneity(setting, regions[level], label)
      if parts:
        measures[f"homogeneity, {label}"] = parts, float(np.mean(list(guesses.values())))
    for metric, (parts, chance) in measures.items():
      yield over_parts(
        parts,
        task="regions",
        dataset=setting.corpus.name,
        protocol=f"level {level + 1}, aims for a side of {side:g} um",
        split=setting.split,
        metric=metric,
        method=feature,
        chance=chance,
      )


def _shapes(
  setting: Setting, regions: Int[np.ndarray, "level spot"], level: int
) -> dict[str, dict[str, float]]:
  """Metric -> section -> value."""
  positions_um = setting.scored.spots[["x_um", "y_um"]].to_numpy(np.float64)
  found: dict[str, dict[str, float]] = {}
  for section, rows in setting.scored.sections():
    ids, spots = regions[:, rows], sizes(regions[level, rows])
    values = {
      "regions": len(spots),
      "in one piece": in_one_piece(ids[level], spot_graph(positions_um[rows])[0]),
      "smallest": spots.min(),
      "median spots": np.median(spots),
      "largest": spots.max(),
    }
    if level + 1 < len(ids):
      values["inside one coarser"] = nested(ids[level], ids[level + 1])
    for metric, value in values.items():
      found.setdefault(metric, {})[section] = float(value)
  return found


def _homogeneity(
  setting: Setting, ids: Int[np.ndarray, " spot"], label: str
) -> tuple[dict[str, float], dict[str, float]]:
  """Section -> homogeneity, and the same with labels that have changed places in the section."""
  scored, rng = setting.scored, np.random.default_rng(0)
  names, labelled = scored.spots[label].astype(str).to_numpy(), is_labelled(scored, label)
  parts, guesses = {}, {}
  for section, rows in scored.sections():
    rows = rows[labelled[rows]]
    if len(np.unique(names[rows])) > 1:
      parts[section] = float(homogeneity_score(names[rows], ids[rows]))
      guesses[section] = float(homogeneity_score(rng.permutation(names[rows]), ids[rows]))
  return parts, guesses


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
