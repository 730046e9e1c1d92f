"""The most spatial pathways on tissue: measured, and as their anchors see them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from experiments.explainers.anchors import MODALITIES, AnchorScores
from experiments.explainers.subject import Subject
from experiments.figures import maps

SHOWN = 2


def most_spatial(found: AnchorScores, count: int) -> np.ndarray:
  """The sets whose activity has the highest Moran's I, best first."""
  order = np.argsort(-np.nan_to_num(found.spatial, nan=-np.inf), kind="stable")
  return order[np.isfinite(found.spatial[order])][:count]


def draw(subject: Subject, found: AnchorScores, path: Path) -> Path | None:
  """Activity and anchor similarity from either side; None where no set can be measured."""
  columns: dict[str, np.ndarray] = {}
  index = subject.held_out.spots["spot_index"].to_numpy()
  for number in most_spatial(found, SHOWN):
    name = found.sets.names[number].replace("_", " ").title()[:34]
    spots = len(subject.corpus.spots)
    shown = {
      f"{name}\nactivity in the counts (Moran's I {found.spatial[number]:.2f})": np.full(
        spots, np.nan
      )
    }
    for modality in MODALITIES:
      told = "H&E" if modality == "image" else "counts"
      shown[f"{name}\nanchor, from the {told}"] = np.full(spots, np.nan)
    measured, *seen = shown.values()
    for section, rows in subject.held_out.sections():
      measured[index[rows]] = found.activity[section][:, number]
      for modality, values in zip(MODALITIES, seen, strict=True):
        if (section, modality) in found.score:
          values[index[rows]] = found.score[section, modality][:, number]
    columns |= shown
  return maps.draw_values(subject.corpus, columns, subject.drawn, path) if columns else None
