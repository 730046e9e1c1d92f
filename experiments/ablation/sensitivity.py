"""How much a measure depends on one key of the config, where presets differ in nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from experiments.ablation.comparison import Cell, Comparison
from experiments.ablation.measures import MEASURES
from experiments.ablation.plan import Preset
from hibio.report import section_figures

_COLUMNS = 4


def sweeps(
  presets: Sequence[str], configs: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, float]]:
  """Key -> preset -> its value, for keys that numbers were set for.

  Presets that differ in this key alone belong together, and so does the same preset without the
  key, which has the value that it has of itself. Where there are several such groups, the largest.

  Args:
    configs: preset -> key -> value of its whole config.
  """
  groups: dict[str, dict[tuple, dict[str, float]]] = {}
  parsed = [Preset.of(text) for text in presets]
  for key in dict.fromkeys(name for preset in parsed for name, _ in preset.settings):
    for preset in parsed:
      value = configs[preset.text].get(key)
      if isinstance(value, (int, float)) and not isinstance(value, bool):
        rest = (preset.variants, tuple(one for one in preset.settings if one[0] != key))
        groups.setdefault(key, {}).setdefault(rest, {})[preset.text] = float(value)
  largest = {
    key: max(found.values(), key=lambda one: len(set(one.values())))
    for key, found in groups.items()
  }
  return {key: values for key, values in largest.items() if len(set(values.values())) > 1}


def draw(comparison: Comparison, key: str, values: Mapping[str, float], path: Path) -> Path | None:
  """Writes `sweep`; None without two points."""
  drawn = sweep(comparison, key, values)
  return None if drawn is None else section_figures.saved(drawn, path)


def sweep(comparison: Comparison, key: str, values: Mapping[str, float]) -> Figure | None:
  """Every measure over the key's value, mean and sd over seeds; None without two points."""
  ordered = sorted(
    (value, comparison.presets[preset])
    for preset, value in values.items()
    if preset in comparison.presets
  )
  shown = [m for m in MEASURES if sum(m.name in row for _, row in ordered) > 1]
  if not shown:
    return None
  rows = -(-len(shown) // _COLUMNS)
  figure, axes = plt.subplots(
    rows, _COLUMNS, figsize=(3.1 * _COLUMNS, 2.3 * rows), squeeze=False, constrained_layout=True
  )
  for axis in axes.flat[len(shown) :]:
    axis.remove()
  for axis, measure in zip(axes.flat, shown, strict=False):
    points = [(value, row[measure.name]) for value, row in ordered if measure.name in row]
    _curve(axis, points)
    axis.set_title(
      f"{measure.name} ({'less' if measure.lower_is_better else 'more'} is better)", fontsize=9
    )
    axis.set_xlabel(key, fontsize=8)
    axis.tick_params(labelsize=8)
  return figure


def _curve(axis, points: Sequence[tuple[float, Cell]]) -> None:
  x = np.array([value for value, _ in points])
  mean = np.array([cell.mean for _, cell in points])
  sd = np.array([cell.sd or 0.0 for _, cell in points])
  axis.fill_between(x, mean - sd, mean + sd, alpha=0.2, linewidth=0)
  axis.plot(x, mean, "o-", markersize=4, linewidth=1.4)
