"""Maps over the tissue: spots drawn where they lie on the H&E."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import anndata
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from PIL import Image
from scipy.spatial import cKDTree

from data_pipelines.loading.corpus import Corpus
from hibio.report import canvas


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
        colours = plt.get_cmap(canvas.VALUES)(shares)
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


_MARGIN_UM = 150.0
_MOST_NAMES = 8
"""Of more groups than this nobody reads a legend."""


def tissue(axis: Axes, adata: anndata.AnnData, title: str = "H&E", faded: bool = False) -> None:
  """The H&E of the section, in micrometres; nothing where it has no image."""
  library = _library(adata)
  factors, image = library["scalefactors"], library["images"].get("hires")
  if image is not None:
    um_per_px = factors["microns_per_pixel"] / factors["tissue_hires_scalef"]
    height_um, width_um = np.array(image.shape[:2]) * um_per_px
    axis.imshow(image, extent=(0, width_um, height_um, 0), alpha=0.35 if faded else 1.0)
  low, high = _positions_um(adata).min(0) - _MARGIN_UM, _positions_um(adata).max(0) + _MARGIN_UM
  axis.set(xlim=(low[0], high[0]), ylim=(high[1], low[1]), aspect="equal", xticks=[], yticks=[])
  axis.set_title(title, fontsize=10)


def groups(
  axis: Axes,
  adata: anndata.AnnData,
  names: Sequence[object],
  title: str,
  order: Sequence[str] | None = None,
) -> None:
  """Spots coloured by group, with a legend of up to eight groups that have names, not numbers.

  Args:
    names: group of each spot; "" and "nan" stay without a colour.
    order: of the groups, which decides their colours: give the same to maps that are compared.
  """
  names = np.asarray(names).astype(str)
  order = sorted(set(names.tolist()) - {"", "nan"}) if order is None else list(order)
  tissue(axis, adata, title, faded=True)
  positions, colours = _positions_um(adata), canvas.of_groups(len(order))
  named = len(order) <= _MOST_NAMES and not all(name.isdigit() for name in order)
  for name, colour in zip(order, colours, strict=True):
    discs(axis, positions[names == name], 0.9 * pitch(positions), colour)
    if named:
      axis.scatter([], [], color=colour, label=name, s=14)
  if named:
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0), "ncol": 2}
    axis.legend(fontsize=7, frameon=False, handletextpad=0.1, **place)


def values(
  axis: Axes, adata: anndata.AnnData, numbers: Float[np.ndarray, " spot"], title: str
) -> None:
  """Spots coloured by a value, from its 2nd to its 98th percentile; NaN stays without a colour."""
  numbers = np.asarray(numbers, np.float64)
  known = np.isfinite(numbers)
  tissue(axis, adata, title, faded=True)
  if not known.any():
    return
  low, high = np.percentile(numbers[known], (2, 98))
  shares = np.clip((numbers[known] - low) / max(high - low, 1e-12), 0, 1)
  positions = _positions_um(adata)
  colours = matplotlib.colormaps[canvas.VALUES](shares)
  discs(axis, positions[known], 0.9 * pitch(positions), colours)


def _library(adata: anndata.AnnData) -> dict:
  (name,) = adata.uns["spatial"]  # one section
  return adata.uns["spatial"][name]


def _positions_um(adata: anndata.AnnData) -> Float[np.ndarray, "spot 2"]:
  um_per_px = _library(adata)["scalefactors"]["microns_per_pixel"]
  return np.asarray(adata.obsm["spatial"], np.float64) * um_per_px
