"""Scores of found domains, gathered over sections and seeds and told as rows beside chance."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from sklearn import metrics
from sklearn.metrics.cluster import contingency_matrix

from hibio.evaluation.baselines.neighbours import nearest_spots
from hibio.evaluation.rows import Row


class DomainScores:
  """Every metric of every section and seed.

  Chance is the same metric of the same domains dealt out to the spots at random.
  """

  def __init__(self) -> None:
    self._scores: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    self._chance: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    self._layers: dict[str, list[float]] = defaultdict(list)
    self._annotated: dict[str, dict[str, float]] = defaultdict(dict)
    self._rng = np.random.default_rng(0)

  def add(
    self,
    section: str,
    annotated: np.ndarray,
    runs: Int[np.ndarray, "run spot"],
    positions_um: Float[np.ndarray, "spot 2"],
  ) -> None:
    """One section at one seed; of several runs the median of each metric counts."""
    found = [_metrics(annotated, run, positions_um) for run in runs]
    dealt = _metrics(annotated, self._rng.permutation(runs[0]), positions_um)
    for name in found[0]:
      self._scores[name][section].append(float(np.median([one[name] for one in found])))
      self._chance[name][section].append(dealt[name])
    layers = [layer_f1(annotated, run) for run in runs]
    for layer in layers[0]:
      self._layers[layer].append(float(np.median([one[layer] for one in layers])))
    for name, metric in COHERENCE.items():
      if section not in self._annotated[name]:
        self._annotated[name][section] = metric(annotated, positions_um)

  def rows(self, common: Mapping[str, str], note: str = "") -> Iterator[Row]:
    """One row a metric: the mean over sections of the mean over seeds.

    `spread` is the standard deviation over sections x seeds; `parts` has the sections, for
    `layer_f1` the layers.

    Args:
      common: `Row`'s task, dataset, protocol, split and method.
    """
    for name, by_section in self._scores.items():
      means = {section: float(np.mean(values)) for section, values in by_section.items()}
      notes = [note] if note else []
      if name in COHERENCE:
        annotation = np.mean(list(self._annotated[name].values()))
        notes.append(f"lower is more coherent; the annotation itself has {annotation:.3f}")
      yield Row(
        **common,
        metric=name,
        value=float(np.mean(list(means.values()))),
        n=len(means),
        chance=float(np.mean([np.mean(values) for values in self._chance[name].values()])),
        note="; ".join(notes),
        spread=float(np.std(np.concatenate(list(by_section.values())))),
        parts=(
          {layer: float(np.mean(values)) for layer, values in sorted(self._layers.items())}
          if name == "layer_f1"
          else means
        ),
      )


def _metrics(
  annotated: np.ndarray, found: np.ndarray, positions_um: np.ndarray
) -> dict[str, float]:
  values = agreement(annotated, found)
  values["layer_f1"] = float(np.mean(list(layer_f1(annotated, found).values())))
  for name, metric in COHERENCE.items():
    values[name] = metric(found, positions_um)
  return values


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


NUM_NEIGHBOURS = 6
"""The ring around a Visium spot."""


def smooth(labels: Int[np.ndarray, " spot"], positions_um: np.ndarray) -> Int[np.ndarray, " spot"]:
  """One pass over one section: a spot takes the label that most of its six nearest spots carry.

  "Most" is more than half; without such a majority a spot keeps its own.

  References:
    The rule behind BANKSY's published DLPFC scores (Singhal et al. 2024,
    doi 10.1038/s41588-024-01664-3): there the spot votes too and four of seven votes decide, which
    comes to the same.
  """
  near = nearest_spots(positions_um, NUM_NEIGHBOURS)
  _, codes = np.unique(labels, return_inverse=True)
  votes = np.zeros((len(labels), codes.max() + 1), np.int64)
  np.add.at(votes, (np.arange(len(labels))[:, None], codes[near]), 1)
  winner = votes.argmax(axis=1)
  majority = 2 * votes.max(axis=1) > near.shape[1]
  return np.where(majority, np.unique(labels)[winner], labels)
