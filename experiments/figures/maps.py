"""Maps over the tissue: spots drawn where they lie on the H&E."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.collections import EllipseCollection
from PIL import Image
from scipy.spatial import cKDTree

from data_pipelines.loading.corpus import Corpus
from experiments.report import palettes


def draw_groups(
  corpus: Corpus, columns: Mapping[str, np.ndarray], section_ids: Sequence[str], path: Path
) -> Path:
  """One row a section: its H&E, then one panel a column, spots coloured by group.

  Args:
    columns: title -> one group a spot of the corpus; "" or -1 is drawn as a small grey dot.
    section_ids: the sections to draw.
    path: the PNG to write.
  """
  rows, width = len(section_ids), len(columns) + 1
  figure, axes = plt.subplots(
    rows, width, figsize=(3.3 * width, 3.1 * rows), squeeze=False, constrained_layout=True
  )
  for row, section_id in zip(axes, section_ids, strict=True):
    spots = corpus.spots[corpus.spots["section_id"] == section_id]
    for axis, (title, groups) in zip(row, {"H&E": None, **columns}.items(), strict=True):
      _tissue(axis, corpus, section_id, faded=groups is not None)
      if groups is not None:
        _spots(axis, spots[["x_um", "y_um"]].to_numpy(), groups[spots.index.to_numpy()])
      axis.set_title(f"{section_id}: {title}", fontsize=8)
  path.parent.mkdir(parents=True, exist_ok=True)
  figure.savefig(path, dpi=130)
  plt.close(figure)
  return path


def draw_values(
  corpus: Corpus, columns: Mapping[str, np.ndarray], section_ids: Sequence[str], path: Path
) -> Path:
  """As `draw_groups`, with spots coloured by a value, from the 2nd to the 98th percentile.

  Args:
    columns: title -> one value a spot of the corpus; NaN is not drawn.
  """
  rows, width = len(section_ids), len(columns) + 1
  figure, axes = plt.subplots(
    rows, width, figsize=(3.0 * width, 2.9 * rows), squeeze=False, constrained_layout=True
  )
  for row, section_id in zip(axes, section_ids, strict=True):
    spots = corpus.spots[corpus.spots["section_id"] == section_id]
    positions_um = spots[["x_um", "y_um"]].to_numpy()
    for axis, (title, column) in zip(row, {"H&E": None, **columns}.items(), strict=True):
      _tissue(axis, corpus, section_id, faded=column is not None)
      if column is not None:
        values = np.asarray(column, np.float64)[spots.index.to_numpy()]
        known = np.isfinite(values)
        low, high = np.percentile(values[known], (2, 98)) if known.any() else (0.0, 1.0)
        shares = np.clip((values[known] - low) / max(high - low, 1e-12), 0, 1)
        colours = plt.get_cmap(palettes.VALUES)(shares)
        discs(axis, positions_um[known], 0.9 * pitch(positions_um), colours)
      axis.set_title(f"{section_id}: {title}", fontsize=8)
  path.parent.mkdir(parents=True, exist_ok=True)
  figure.savefig(path, dpi=130)
  plt.close(figure)
  return path


def _tissue(axis, corpus: Corpus, section_id: str, faded: bool) -> None:
  section = next(s for s in corpus.manifest["sections"] if s["section_id"] == section_id)
  axis.set_aspect("equal")
  axis.set_xticks([])
  axis.set_yticks([])
  spots = corpus.spots[corpus.spots["section_id"] == section_id]
  margin = 150.0
  if section.get("thumbnail"):
    with Image.open(corpus.path / section["thumbnail"]) as image:
      pixels = np.asarray(image.convert("RGB"))
    scale = section["thumbnail_um_per_px"]
    extent = (0, pixels.shape[1] * scale, pixels.shape[0] * scale, 0)
    axis.imshow(pixels, extent=extent, alpha=0.4 if faded else 1.0)
  axis.set_xlim(spots["x_um"].min() - margin, spots["x_um"].max() + margin)
  axis.set_ylim(spots["y_um"].max() + margin, spots["y_um"].min() - margin)


def _spots(axis, positions_um: Float[np.ndarray, "spot 2"], groups: np.ndarray) -> None:
  missing = np.isin(groups.astype(str), ("", "-1", "nan"))
  names, codes = np.unique(groups[~missing], return_inverse=True)
  # Neighbouring regions get far-apart colours: ids are shuffled over a 20-colour wheel.
  wheel = np.random.default_rng(0).permutation(max(len(names), 1)) % 20
  colours = plt.get_cmap("tab20")(wheel)
  pitch_um = pitch(positions_um)
  discs(axis, positions_um[missing], 0.3 * pitch_um, "0.6")
  discs(axis, positions_um[~missing], 0.9 * pitch_um, colours[codes])
  if 0 < len(names) <= 8:
    for name, colour in zip(names, colours, strict=False):
      axis.scatter([], [], color=colour, label=str(name)[:18], s=12)
    axis.legend(fontsize=5, frameon=False, loc="upper left", bbox_to_anchor=(0, 0), ncol=3)


def discs(axis, centres_um: np.ndarray, diameter_um: float, colours) -> None:
  """Discs in the units of the tissue, so that they stay true to scale at any figure size."""
  size = np.full(len(centres_um), diameter_um)
  axis.add_collection(
    EllipseCollection(
      size,
      size,
      np.zeros(len(size)),
      units="xy",
      offsets=centres_um,
      offset_transform=axis.transData,
      facecolors=colours,
      linewidths=0,
    )
  )


def pitch(positions_um: Float[np.ndarray, "spot 2"]) -> float:
  """Median distance between nearest spots; 100 um for a single spot."""
  if len(positions_um) < 2:
    return 100.0
  return float(np.median(cKDTree(positions_um).query(positions_um, k=2)[0][:, 1]))
