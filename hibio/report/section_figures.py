"""Maps over the tissue: spots drawn to scale where they lie on the H&E, in micrometres.

`tissue`, `groups` and `values` draw one section of an AnnData on an axis; `map_row` makes a figure
of maps that belong together, with one line for each section.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import anndata
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar
from PIL import Image

from data_pipelines.loading.corpus import Corpus
from hibio.report import canvas
from hibio.report.exhibits import (
  NO_GROUP,
  Chart,
  Exhibits,
  GroupMap,
  MapRow,
  Tissue,
  ValueMap,
)

_MARGIN_SPOTS = 1.5
"""Tissue shown around the outermost spots, in spot diameters."""

_FADED = 0.35
"""Opacity of the H&E under coloured spots."""

_TITLE_WIDTH = 40
"""Letters over a panel: longer titles would run into the next one's."""

_MOST_NAMES = 8
"""Nobody reads a legend of more groups than this."""


def tissue(axis: Axes, adata: anndata.AnnData, title: str = "H&E") -> None:
  """The H&E of the section with a scale bar; "no image" over grey spots where it has none."""
  _draw_tissue(axis, _of_adata(adata), title, faded=False)


def groups(
  axis: Axes,
  adata: anndata.AnnData,
  names: Sequence[object],
  title: str,
  order: Sequence[str] | None = None,
) -> None:
  """Spots coloured by group, with a legend of up to eight groups that have names, not numbers.

  Args:
    names: group of each spot; spots of "", "-1" or "nan" become small grey dots.
    order: of the groups, which decides their colours: give the same to maps that are compared.
  """
  _draw_groups(axis, _of_adata(adata), np.asarray(names).astype(str), title, order)


def values(
  axis: Axes,
  adata: anndata.AnnData,
  numbers: Float[np.ndarray, " spot"],
  title: str,
  unit: str = "",
) -> None:
  """Spots coloured by a value, from its 2nd to its 98th percentile, with a colour bar.

  Args:
    numbers: value of each spot; spots of NaN become small grey dots.
    unit: written at the colour bar.
  """
  _draw_values(axis, _of_adata(adata), np.asarray(numbers, np.float64), title, unit)


def map_row(row: MapRow, tissues: Sequence[Tissue]) -> Figure:
  """One line a section: its H&E, then one panel a map, with what was measured there."""
  width = len(row.maps) + 1
  figure, axes = plt.subplots(
    len(tissues),
    width,
    figsize=(3.2 * width, 3.4 * len(tissues)),
    squeeze=False,
    layout="constrained",
  )
  figure.get_layout_engine().set(h_pad=0.12)
  for section, (first, *others) in zip(tissues, axes, strict=True):
    title = f"{section.section_id}, donor {section.donor_id}: H&E"
    _draw_tissue(first, section, title, faded=False)
    for axis, one in zip(others, row.maps, strict=True):
      _draw_map(axis, section, one)
  return figure


def draw_groups(
  corpus: Corpus, columns: Mapping[str, np.ndarray], section_ids: Sequence[str], path: Path
) -> Path:
  """Writes a PNG with one line a section: its H&E, then a panel a column, coloured by group.

  Args:
    columns: title -> one group a spot of the corpus; "", -1 and NaN are no group.
    section_ids: the sections to draw.
  """
  section = corpus.spots["section_id"].to_numpy()
  maps = [
    GroupMap(title, {name: groups[section == name] for name in section_ids})
    for title, groups in columns.items()
  ]
  row = MapRow("", "", "", maps)
  return saved(map_row(row, [of_corpus(corpus, name) for name in section_ids]), path)


def saved(figure: Figure, path: Path) -> Path:
  """Writes and closes a figure; makes its folder."""
  path.parent.mkdir(parents=True, exist_ok=True)
  figure.savefig(path, dpi=130, bbox_inches="tight")  # titles of some lines stand out of the layout
  plt.close(figure)
  return path


def write(exhibits: Exhibits, folder: Path) -> None:
  """Every map and chart of a report as a PNG named after its title."""
  folder.mkdir(parents=True, exist_ok=True)
  for row in exhibits.map_rows:
    saved(map_row(row, exhibits.tissues), folder / _file_name(row))
  for chart in exhibits.charts:
    (folder / _file_name(chart)).write_bytes(chart.png)


def _file_name(shown: MapRow | Chart) -> str:
  """ "regions-sizes-of-regions.png"."""
  return re.sub(r"\W+", "-", f"{shown.task} {shown.title}").strip("-").lower()[:120] + ".png"


def of_corpus(corpus: Corpus, section_id: str) -> Tissue:
  """A section of a corpus, with its thumbnail where it has one."""
  entry = next(s for s in corpus.manifest["sections"] if s["section_id"] == section_id)
  spots = corpus.spots[corpus.spots["section_id"] == section_id]
  pixels = None
  if thumbnail := corpus.thumbnail(entry):
    with Image.open(thumbnail) as image:
      pixels = np.asarray(image.convert("RGB"))
  um_per_px = float(entry.get("thumbnail_um_per_px") or 1.0)
  positions_um = spots[["x_um", "y_um"]].to_numpy(float)
  return Tissue(section_id, entry["donor_id"], pixels, um_per_px, positions_um)


def _of_adata(adata: anndata.AnnData) -> Tissue:
  ((name, library),) = adata.uns["spatial"].items()  # one section
  factors = library["scalefactors"]
  um_per_px, pixels = factors["microns_per_pixel"], library.get("images", {}).get("hires")
  positions_um = np.asarray(adata.obsm["spatial"], np.float64) * um_per_px
  shrunk = factors["tissue_hires_scalef"] if pixels is not None else 1.0
  return Tissue(str(name), "", pixels, um_per_px / shrunk, positions_um)


def _draw_map(axis: Axes, section: Tissue, one: GroupMap | ValueMap) -> None:
  figure = one.figures.get(section.section_id, "")
  title = "\n".join([*textwrap.wrap(one.title, _TITLE_WIDTH), figure]).rstrip()
  none = np.full(len(section.positions_um), np.nan)
  if isinstance(one, ValueMap):
    values = np.asarray(one.values.get(section.section_id, none), np.float64)
    _draw_values(axis, section, values, title, one.unit)
  else:
    groups = np.asarray(one.groups.get(section.section_id, none)).astype(str)
    _draw_groups(axis, section, groups, title, one.classes or None)


def _draw_tissue(axis: Axes, section: Tissue, title: str, faded: bool) -> None:
  positions_um, margin_um = section.positions_um, _MARGIN_SPOTS * section.spot_um
  low, high = positions_um.min(0) - margin_um, positions_um.max(0) + margin_um
  if section.pixels is not None:
    height_um, width_um = np.array(section.pixels.shape[:2]) * section.um_per_px
    extent = (0, width_um, height_um, 0)
    axis.imshow(section.pixels, extent=extent, alpha=_FADED if faded else 1.0)
  elif not faded:
    _discs(axis, section, np.ones(len(positions_um), bool), "0.85")
    axis.text(0.5, 0.5, "no image", transform=axis.transAxes, ha="center", va="center")
  axis.set(xlim=(low[0], high[0]), ylim=(high[1], low[1]), aspect="equal", xticks=[], yticks=[])
  axis.set_title(title, fontsize=9)
  length_um = canvas.round_length(0.25 * float(high[0] - low[0]))
  axis.add_artist(
    AnchoredSizeBar(
      axis.transData, length_um, canvas.length_in_words(length_um), "lower left",
      pad=0.2, borderpad=0.2, sep=2, size_vertical=0.01 * float(high[1] - low[1]),
      color="black", fontproperties={"size": 7},
    )
  ).patch.set(alpha=0.75, linewidth=0)  # fmt: skip


def _draw_groups(
  axis: Axes, section: Tissue, names: np.ndarray, title: str, order: Sequence[str] | None = None
) -> None:
  order = sorted(set(names.tolist()) - set(NO_GROUP)) if order is None else list(order)
  _draw_tissue(axis, section, title, faded=True)
  _discs(axis, section, ~np.isin(names, order), "0.6", share=0.3)
  named = len(order) <= _MOST_NAMES and not all(name.isdigit() for name in order)
  for name, colour in canvas.colours_of(order, shuffled=not named).items():
    _discs(axis, section, names == name, colour)
    if named:
      axis.scatter([], [], color=colour, label=name, s=14)
  if named:
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0), "ncol": 2}
    axis.legend(fontsize=7, frameon=False, handletextpad=0.1, **place)


def _draw_values(
  axis: Axes, section: Tissue, numbers: Float[np.ndarray, " spot"], title: str, unit: str
) -> None:
  known = np.isfinite(numbers)
  _draw_tissue(axis, section, title, faded=True)
  _discs(axis, section, ~known, "0.6", share=0.3)
  if not known.any():
    axis.set_xlabel("no values", fontsize=7)
    return
  scale = matplotlib.cm.ScalarMappable(
    matplotlib.colors.Normalize(*np.percentile(numbers[known], canvas.CLIPPED), clip=True),
    canvas.VALUES,
  )
  _discs(axis, section, known, scale.to_rgba(numbers[known]))
  bar = axis.figure.colorbar(
    scale, ax=axis, orientation="horizontal", fraction=0.04, pad=0.02, shrink=0.7, extend="both"
  )
  bar.set_label(unit, fontsize=7)
  bar.ax.tick_params(labelsize=7)
  bar.locator = matplotlib.ticker.MaxNLocator(4)


def _discs(axis: Axes, section: Tissue, chosen: np.ndarray, colours, share: float = 1.0) -> None:
  """Discs in the units of the tissue, so that they stay true to scale at any figure size."""
  size = np.full(int(chosen.sum()), share * section.spot_um)
  axis.add_collection(
    EllipseCollection(
      size,
      size,
      np.zeros(len(size)),
      units="xy",
      offsets=section.positions_um[chosen],
      offset_transform=axis.transData,
      facecolors=colours,
      linewidths=0,
    )
  )
