"""Scores of found domains, gathered over sections and seeds and told as rows beside chance."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Float, Int

from hibio.tasks.domain_metrics import COHERENCE, agreement, layer_f1
from hibio.tasks.rows import Row


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
