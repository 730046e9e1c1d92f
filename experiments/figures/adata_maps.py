"""Maps of one section of an AnnData: what notebooks show of embeddings, on the tissue itself.

They draw on axes that they are given, from the keys that scanpy uses as well: `obsm["spatial"]` and
the image and its scale in `uns["spatial"]`.
"""

from __future__ import annotations

from collections.abc import Sequence

import anndata
import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from experiments.figures import maps
from experiments.report import palettes

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
  positions, colours = _positions_um(adata), palettes.of_groups(len(order))
  named = len(order) <= _MOST_NAMES and not all(name.isdigit() for name in order)
  for name, colour in zip(order, colours, strict=True):
    maps.discs(axis, positions[names == name], 0.9 * maps.pitch(positions), colour)
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
  colours = matplotlib.colormaps[palettes.VALUES](shares)
  maps.discs(axis, positions[known], 0.9 * maps.pitch(positions), colours)


def _library(adata: anndata.AnnData) -> dict:
  (name,) = adata.uns["spatial"]  # one section
  return adata.uns["spatial"][name]


def _positions_um(adata: anndata.AnnData) -> Float[np.ndarray, "spot 2"]:
  um_per_px = _library(adata)["scalefactors"]["microns_per_pixel"]
  return np.asarray(adata.obsm["spatial"], np.float64) * um_per_px
