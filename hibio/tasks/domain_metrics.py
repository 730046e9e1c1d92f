"""How well found domains agree with annotated ones, and how coherent they are in the tissue."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from sklearn import metrics
from sklearn.metrics.cluster import contingency_matrix

from hibio.tasks.nearest_spots import nearest_spots

_PAS_NEIGHBOURS = 10


def agreement(annotated: np.ndarray, found: np.ndarray) -> dict[str, float]:
  """ARI, NMI, AMI and homogeneity, as scikit-learn has them; 1 is perfect."""
  # The V-measure is the NMI with the arithmetic mean, and comes from the same pass.
  homogeneity, _, nmi = metrics.homogeneity_completeness_v_measure(annotated, found)
  return {
    "ari": float(metrics.adjusted_rand_score(annotated, found)),
    "nmi": float(nmi),
    "ami": float(metrics.adjusted_mutual_info_score(annotated, found)),
    "homogeneity": float(homogeneity),
  }


def chaos(labels: np.ndarray, positions_um: Float[np.ndarray, "spot 2"]) -> float:
  """Mean distance of a spot to the nearest spot of its own domain; lower is more coherent.

  x and y are each scaled to unit standard deviation over the section. Domains of one or two spots
  add nothing to the sum but count in the mean, as in the benchmark's own code.

  References:
    Shang & Zhou 2022, doi 10.1038/s41467-022-34879-1; as computed by the benchmark SDMBench,
    Yuan et al. 2024, doi 10.1038/s41592-024-02215-8.
  """
  sd = positions_um.std(axis=0)
  scaled = positions_um / np.where(sd > 0, sd, 1.0)
  total = 0.0
  for label in np.unique(labels):
    own = scaled[labels == label]
    if len(own) > 2:
      total += cKDTree(own).query(own, k=2)[0][:, 1].sum()
  return float(total / len(labels))


def pas(labels: np.ndarray, positions_um: Float[np.ndarray, "spot 2"]) -> float:
  """Percentage of abnormal spots, as a share; lower is more coherent.

  A spot is abnormal if more than half of its 10 nearest spots lie in other domains.

  References:
    As `chaos`.
  """
  near = nearest_spots(positions_um, _PAS_NEIGHBOURS)
  other = (labels[near] != labels[:, None]).sum(axis=1)
  return float((other > near.shape[1] / 2).mean())


COHERENCE = {"chaos": chaos, "pas": pas}
"""(found, positions_um) -> score; lower is more coherent. What is annotated plays no part."""


def layer_f1(annotated: np.ndarray, found: np.ndarray) -> dict[str, float]:
  """F1 of each annotated layer after giving each at most one found domain.

  The one-to-one matching has the most spots in common; a layer without a domain scores 0.
  """
  common = contingency_matrix(annotated, found)
  layers, domains = linear_sum_assignment(-common)
  f1 = dict.fromkeys(np.unique(annotated).tolist(), 0.0)
  names = list(f1)
  for layer, domain in zip(layers, domains, strict=True):
    size = common[layer].sum() + common[:, domain].sum()
    f1[names[layer]] = float(2 * common[layer, domain] / size)
  return f1
