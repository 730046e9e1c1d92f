"""Regions on tissue at each level, beside those of coordinates alone; and how large they are."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from experiments.explainers import regions
from experiments.explainers.subject import Subject
from experiments.figures import maps


def draw_maps(subject: Subject, found: regions.Regions, path: Path) -> Path:
  """One row a section: every level of the model's regions, then of the coordinates'."""
  index = subject.held_out.spots["spot_index"].to_numpy()
  columns = {}
  for method in (regions.MODEL, regions.COORDINATES):
    for level, ids in enumerate(found.of[method], 1):
      everywhere = np.full(len(subject.corpus.spots), -1)
      everywhere[index] = ids
      columns[f"{method}, level {level}"] = everywhere
  return maps.draw_groups(subject.corpus, columns, subject.drawn, path)


def draw_sizes(found: regions.Regions, path: Path) -> Path:
  """Spots of a region, smallest to largest, one panel a level."""
  levels = len(found.of[regions.MODEL])
  figure, axes = plt.subplots(
    1, levels, figsize=(4.2 * levels, 3.0), squeeze=False, constrained_layout=True
  )
  for level, axis in enumerate(axes[0]):
    for method, spots in regions.sizes(found, level).items():
      shares = np.linspace(0, 1, len(spots))
      axis.plot(np.sort(spots), shares, label=method, drawstyle="steps-post")
    axis.set_xlabel("spots of a region")
    axis.set_ylabel("share of regions")
    axis.set_title(f"level {level + 1}", fontsize=10)
  axes[0][0].legend(fontsize=7, frameon=False)
  figure.savefig(path, dpi=130)
  plt.close(figure)
  return path
