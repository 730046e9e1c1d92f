"""The forest plot: difference of every preset to the default, one panel a measure."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from experiments.ablation.comparison import REFERENCE, Comparison
from experiments.ablation.measures import MEASURES
from experiments.ablation.statistics import LEVEL
from hibio.report import section_figures

_COLUMNS = 4
_BETTER, _WORSE, _OPEN = "#0072B2", "#D55E00", "0.55"
"""Blue and vermilion of Okabe and Ito: every eye tells them apart."""


def draw(comparison: Comparison, path: Path) -> Path | None:
  """Writes the figure; None where there is nothing to compare."""
  drawn = forest(comparison)
  return None if drawn is None else section_figures.saved(drawn, path)


def forest(comparison: Comparison) -> Figure | None:
  """A dot and an interval for each preset in each panel; None where there is nothing to compare."""
  shown = [m for m in MEASURES if any(m.name in row for row in comparison.differences.values())]
  presets = list(comparison.differences)
  if not shown:
    return None
  rows = -(-len(shown) // _COLUMNS)
  figure, axes = plt.subplots(
    rows,
    _COLUMNS,
    figsize=(3.4 * _COLUMNS, (0.9 + 0.24 * len(presets)) * rows + 0.6),
    squeeze=False,
    sharey=True,
    constrained_layout=True,
  )
  for axis in axes.flat[len(shown) :]:
    axis.remove()
  for axis, measure in zip(axes.flat, shown, strict=False):
    axis.axvline(0, color="0.3", linewidth=0.8)
    for place, preset in enumerate(presets):
      one = comparison.differences[preset].get(measure.name)
      if one is None:
        continue
      good = (one.mean > 0) != measure.lower_is_better
      colour = (_BETTER if good else _WORSE) if one.excludes_zero else _OPEN
      axis.plot([one.low, one.high], [place, place], color=colour, linewidth=1.8)
      axis.plot(one.mean, place, "o", color=colour, markersize=4.5)
    arrow = "less is better" if measure.lower_is_better else "more is better"
    axis.set_title(f"{measure.name} ({arrow})", fontsize=9)
    axis.tick_params(labelsize=8)
    axis.locator_params(axis="x", nbins=5)
  axes[0][0].set_yticks(range(len(presets)), presets)
  axes[0][0].set_ylim(len(presets) - 0.5, -0.5)
  figure.suptitle(
    f"Difference to {REFERENCE}, {LEVEL:.0%} interval; blue is better, vermilion is worse, grey"
    " includes 0",
    fontsize=10,
  )
  return figure
