"""Scores of found domains, gathered over sections and seeds and told as rows beside chance."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

from hibio.evaluation.agreement import agreement, contingency, layer_f1
from hibio.evaluation.baselines.neighbours import nearest, nearest_spots
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
    self._codes: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    self._rng = np.random.default_rng(0)

  def add(
    self,
    section: str,
    annotated: np.ndarray,
    runs: Int[np.ndarray, "run spot"],
    positions_um: Float[np.ndarray, "spot 2"],
  ) -> None:
    """One section at one seed; of several runs the median of each metric counts.

    Args:
      annotated: of each spot, the same whenever the section comes again.
    """
    if section not in self._codes:
      self._codes[section] = np.unique(annotated, return_inverse=True)
    names, codes = self._codes[section]
    found = [_metrics(codes, run, positions_um) for run in runs]
    dealt, _ = _metrics(codes, self._rng.permutation(runs[0]), positions_um)
    for name in dealt:
      self._scores[name][section].append(float(np.median([one[name] for one, _ in found])))
      self._chance[name][section].append(dealt[name])
    for layer, f1 in zip(names.tolist(), np.median([f1 for _, f1 in found], axis=0), strict=True):
      self._layers[layer].append(float(f1))
    for name, metric in COHERENCE.items():
      if section not in self._annotated[name]:
        self._annotated[name][section] = metric(codes, positions_um)

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
  annotated: Int[np.ndarray, " spot"],
  found: Int[np.ndarray, " spot"],
  positions_um: Float[np.ndarray, "spot 2"],
) -> tuple[dict[str, float], Float[np.ndarray, " layer"]]:
  """Every metric, and the F1 of each layer."""
  table = contingency(annotated, found)
  layers = layer_f1(table)
  values = {**agreement(table), "layer_f1": float(layers.mean())}
  return values | {name: metric(found, positions_um) for name, metric in COHERENCE.items()}, layers


_PAS_NEIGHBOURS = 10
_CHAOS_NEIGHBOURS = 24
"""Most spots have one of their own domain among so many; of the others all are searched."""


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
  _, domains, sizes = np.unique(labels, return_inverse=True, return_counts=True)
  near, distances = nearest(scaled, _CHAOS_NEIGHBOURS)
  own = domains[near] == domains[:, None]
  first = own.argmax(axis=1) if own.shape[1] else np.zeros(len(own), int)
  counted, seen = sizes[domains] > 2, own.any(axis=1)
  rows = np.flatnonzero(counted & seen)
  total = distances[rows, first[rows]].sum()
  for domain in np.unique(domains[counted & ~seen]):
    far = (domains == domain) & ~seen
    total += cKDTree(scaled[domains == domain]).query(scaled[far], k=2)[0][:, 1].sum()
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
  kinds, codes = np.unique(labels, return_inverse=True)
  votes = (codes[near][..., None] == np.arange(len(kinds))).sum(axis=1)
  winner = votes.argmax(axis=1)
  majority = 2 * votes.max(axis=1) > near.shape[1]
  return np.where(majority, kinds[winner], labels)
