"""An ablation as pictures: differences to the default, and measures over a key of the config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.ablation.comparison import REFERENCE, Cell, Comparison
from experiments.ablation.measures import MEASURES, Measure
from experiments.ablation.plan import Preset
from experiments.ablation.statistics import LEVEL, Interval
from hibio.report import section_figures

_COLUMNS = 4
_BETTER, _WORSE, _OPEN = "#0072B2", "#D55E00", "0.55"
"""Blue and vermilion of Okabe and Ito: every eye tells them apart."""


def save(drawn: Figure | None, path: Path) -> Path | None:
  """Writes the figure, if there is one."""
  return None if drawn is None else section_figures.saved(drawn, path)


def forest(comparison: Comparison) -> Figure | None:
  """A dot and an interval for each preset in each panel; None where there is nothing to compare."""
  shown = [m for m in MEASURES if any(m.name in row for row in comparison.differences.values())]
  presets = list(comparison.differences)
  if not shown:
    return None
  figure, axes = _panels(shown, 3.4, 0.9 + 0.24 * len(presets), sharey=True, more=0.6)
  for axis, measure in zip(axes.flat, shown, strict=False):
    axis.axvline(0, color="0.3", linewidth=0.8)
    for place, preset in enumerate(presets):
      if measure.name in comparison.differences[preset]:
        _interval(axis, place, comparison.differences[preset][measure.name], measure)
    axis.locator_params(axis="x", nbins=5)
  axes[0][0].set_yticks(range(len(presets)), presets)
  axes[0][0].set_ylim(len(presets) - 0.5, -0.5)
  figure.suptitle(
    f"Difference to {REFERENCE}, {LEVEL:.0%} interval; blue is better, vermilion is worse, grey"
    " includes 0",
    fontsize=10,
  )
  return figure


def _interval(axis: Axes, place: int, one: Interval, measure: Measure) -> None:
  good = (one.mean > 0) != measure.lower_is_better
  colour = (_BETTER if good else _WORSE) if one.excludes_zero else _OPEN
  axis.plot([one.low, one.high], [place, place], color=colour, linewidth=1.8)
  axis.plot(one.mean, place, "o", color=colour, markersize=4.5)


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
  figure, axes = _panels(shown, 3.1, 2.3)
  for axis, measure in zip(axes.flat, shown, strict=False):
    _curve(axis, [(value, row[measure.name]) for value, row in ordered if measure.name in row])
    axis.set_xlabel(key, fontsize=8)
  return figure


def learning_curve(comparison: Comparison, lines: Mapping[str, Mapping[int, str]]) -> Figure | None:
  """Every measure over the number of training sections, a line for each preset, beside chance.

  Args:
    lines: preset -> number of training sections -> its name in the comparison.
  """
  found = {
    preset: [
      (number, comparison.presets[name])
      for number, name in sorted(names.items())
      if name in comparison.presets
    ]
    for preset, names in lines.items()
  }
  rows = [row for points in found.values() for _, row in points]
  shown = [m for m in MEASURES if sum(m.name in row for row in rows) > 1]
  if not shown:
    return None
  figure, axes = _panels(shown, 3.1, 2.3)
  for axis, measure in zip(axes.flat, shown, strict=False):
    for preset, points in found.items():
      known = [(number, row[measure.name]) for number, row in points if measure.name in row]
      _curve(axis, known, preset)
      chance = [(number, cell.chance) for number, cell in known if cell.chance is not None]
      axis.plot(*np.reshape(chance, (-1, 2)).T, ":", color="0.4")
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_formatter("{x:g}")
    axis.set_xlabel("training sections", fontsize=8)
  if len(found) > 1:
    axes[0][0].legend(fontsize=7)
  figure.suptitle("Mean and sd over seeds; dotted: chance", fontsize=10)
  return figure


def _curve(axis: Axes, points: Sequence[tuple[float, Cell]], label: str = "") -> None:
  x = np.array([value for value, _ in points])
  mean = np.array([cell.mean for _, cell in points])
  sd = np.array([cell.sd or 0.0 for _, cell in points])
  axis.fill_between(x, mean - sd, mean + sd, alpha=0.2, linewidth=0)
  axis.plot(x, mean, "o-", markersize=4, linewidth=1.4, label=label)


def _panels(
  shown: Sequence[Measure], width: float, height: float, sharey: bool = False, more: float = 0.0
):
  """A figure with a titled panel for each measure, of this size in inches."""
  rows = -(-len(shown) // _COLUMNS)
  figure, axes = plt.subplots(
    rows,
    _COLUMNS,
    figsize=(width * _COLUMNS, height * rows + more),
    squeeze=False,
    sharey=sharey,
    constrained_layout=True,
  )
  for axis in axes.flat[len(shown) :]:
    axis.remove()
  for axis, measure in zip(axes.flat, shown, strict=False):
    better = "less is better" if measure.lower_is_better else "more is better"
    axis.set_title(f"{measure.name} ({better})", fontsize=9)
    axis.tick_params(labelsize=8)
  return figure, axes
