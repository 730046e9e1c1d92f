"""What the domains of a section are read from: the embedding, its pathway anchors, or both.

One rule for `evaluate` and `embed`, fixed before any tissue was scored by it, and it knows no
label: of the three, the one whose clusters hang together best over the section.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections import Counter

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from data_pipelines.preparation.spot_graph import spot_graph
from hibio.evaluation.cohort import Cohort

RULE = "@most coherent"
"""Ends the name of a feature that is what the rule chose in each section."""

CLUSTERS, SEEDS = (4, 8), (0, 1, 2)
"""Numbers of clusters that a reading is judged by, and starts of each."""

_MOST_FITTED = 5000
"""Spots that clusters are fitted to, evenly over the section; the others are told theirs."""


def of_section(
  embedding: Float[np.ndarray, "spot width"],
  anchors: Float[np.ndarray, "spot set"],
  positions_um: Float[np.ndarray, "spot 2"],
) -> tuple[str, Float[np.ndarray, "spot reading"]]:
  """The reading that the rule chooses, "embedding", "anchors" or "both", and its values.

  Args:
    anchors: similarity of each spot to each anchor, or `in_few_columns`; of no set leaves the
      embedding.
  """
  if not anchors.shape[1] or len(embedding) <= max(CLUSTERS):
    return "embedding", embedding
  anchors = _of_unit_spread(in_few_columns(anchors, embedding.shape[1]))
  both = np.concatenate([_of_unit_spread(embedding), anchors], axis=1)
  readings = {"embedding": embedding, "anchors": anchors, "both": both}
  graph = spot_graph(positions_um)[0]
  chosen = max(readings, key=lambda name: coherence(readings[name], graph))
  return chosen, readings[chosen]


def coherence(values: Float[np.ndarray, "spot width"], graph: scipy.sparse.csr_matrix) -> float:
  """How far clusters of `values` hang together: 1 if touching spots always share one, 0 by chance.

  Assortativity of clusters over the edges between touching spots, mean over `CLUSTERS` and `SEEDS`:
  one large cluster gains nothing, as chance would share it too.

  Args:
    graph: True for spots that touch.

  References:
    Newman 2003, doi 10.1103/PhysRevE.67.026126, equation 2.
  """
  edges = graph.tocoo()
  if not edges.nnz:
    return 0.0
  found = [_clusters(values, k, seed) for k in CLUSTERS for seed in SEEDS]
  shared = np.array([(one[edges.row] == one[edges.col]).mean() for one in found])
  ends = [np.bincount(one[edges.row]) / edges.nnz for one in found]
  chance = np.array([(shares**2).sum() for shares in ends])
  return float(((shared - chance) / np.maximum(1 - chance, 1e-9)).mean())


def in_few_columns(
  similarity: Float[np.ndarray, "spot set"], width: int
) -> Float[np.ndarray, "spot column"]:
  """The same distances and angles between spots in no more than `width` columns.

  Cosines with hundreds of anchors have no more directions than the embedding that they are of.
  """
  if similarity.shape[1] <= width:
    return similarity
  values, vectors = np.linalg.eigh((similarity.T @ similarity).astype(np.float64))
  return similarity @ vectors[:, np.argsort(-values)[:width]].astype(np.float32)


def of_cohort(cohort: Cohort, feature: str, anchors: str) -> tuple[Cohort, str]:
  """A cohort with "<feature>@most coherent" alone, and in words how often what was chosen.

  Values of sections that chose otherwise differ in width: they are filled up with zeros, which no
  distance within a section sees.
  """
  embedding, similarity = cohort.features[feature], cohort.features[anchors]
  width = embedding.shape[1]
  values = np.zeros((len(embedding), width + min(width, similarity.shape[1])), np.float32)
  positions, times = cohort.spots[["x_um", "y_um"]].to_numpy(np.float64), Counter()
  for _, rows in cohort.sections():
    chosen, read = of_section(embedding[rows], similarity[rows], positions[rows])
    values[rows, : read.shape[1]] = read
    times[chosen] += 1
  told = ", ".join(f"{name} in {number} of {times.total()}" for name, number in times.items())
  return dataclasses.replace(cohort, features={f"{feature}{RULE}": values}), told


def _of_unit_spread(values: Float[np.ndarray, "spot width"]) -> Float[np.ndarray, "spot width"]:
  """About its mean, and as far from it as any other: two of them side by side weigh alike."""
  centred = values - values.mean(axis=0)
  return centred / max(float(np.sqrt((centred**2).sum(axis=1).mean())), 1e-12)


def _clusters(
  values: Float[np.ndarray, "spot width"], k: int, seed: int
) -> Int[np.ndarray, " spot"]:
  fitted = values[:: -(-len(values) // _MOST_FITTED)]
  with warnings.catch_warnings():
    # A collapsed model has fewer than k distinct embeddings, and no coherence.
    warnings.simplefilter("ignore", ConvergenceWarning)
    means = KMeans(k, n_init=1, random_state=seed).fit(fitted)
  return means.predict(values)
