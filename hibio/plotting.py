"""Maps of an AnnData over its tissue, by name: what `hibio.plot` draws."""

from __future__ import annotations

from collections.abc import Sequence

import anndata
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scipy.sparse
from matplotlib.figure import Figure

from data_pipelines.gene_names import meant_by
from data_pipelines.problems import BadInputError
from data_pipelines.readers.annotated import contents, places
from hibio.export.results import PATHWAYS
from hibio.report import section_figures
from hibio.report.exhibits import NO_GROUP

_PANEL_INCHES = (3.6, 3.9)


def plot(
  adata: anndata.AnnData, names: str | Sequence[str], *, section: str | None = None
) -> Figure:
  """A row of maps a section; see `hibio.plot`."""
  names = [names] if isinstance(names, str) else list(names)
  if not names:
    raise BadInputError("names", "value", "no name", "one or more", "name what to draw")
  shown = {name: values_of(adata, name) for name in names}
  sections = _sections(adata, section)
  width, height = _PANEL_INCHES
  figure, axes = plt.subplots(
    len(sections), len(names), squeeze=False, layout="constrained",
    figsize=(width * len(names), height * len(sections)),
  )  # fmt: skip
  figure.get_layout_engine().set(h_pad=0.12)
  for row, (section_id, rows) in zip(axes, sections.items(), strict=True):
    tissue = _tissue(adata, section_id, rows)
    for axis, (name, values) in zip(row, shown.items(), strict=True):
      title = name if len(sections) == 1 else f"{section_id}: {name}"
      if values is None:
        section_figures.tissue(axis, tissue, title)
      elif _are_numbers(values):
        section_figures.values(axis, tissue, values.to_numpy(float)[rows], title)
      else:
        groups = values.astype(object).where(values.notna(), "").astype(str).to_numpy()
        order = sorted(set(groups.tolist()) - set(NO_GROUP))
        section_figures.groups(axis, tissue, groups[rows].tolist(), title, order=order)
  plt.close(figure)  # the caller's now: a notebook shows it once, where it is a cell's last line
  return figure


def values_of(adata: anndata.AnnData, name: str) -> pd.Series | None:
  """What an AnnData holds under a name; None for "H&E", which is the tissue itself.

  A column of `obs` comes before a gene, and a gene before a column of a table in `obsm`.

  Raises:
    BadInputError: nothing, or several genes of that name.
  """
  if name == "H&E":
    return None
  if name in adata.obs:
    return adata.obs[name]
  genes = np.flatnonzero(adata.var_names == name)
  if not len(genes) and "gene_symbols" in adata.var:
    genes = np.flatnonzero(adata.var["gene_symbols"] == name)
  if len(genes) > 1:
    raise BadInputError(
      "adata", "gene", f"{len(genes)} genes named {name}", "one",
      f"name one of {', '.join(adata.var_names[genes])}",
    )  # fmt: skip
  if len(genes) and adata.X is not None:
    column = adata.X[:, int(genes[0])]
    column = column.toarray() if scipy.sparse.issparse(column) else np.asarray(column)
    return pd.Series(column.ravel(), adata.obs_names)
  tables = [adata.obsm[key] for key in sorted(adata.obsm, key=lambda key: key != PATHWAYS)]
  tables = [table for table in tables if isinstance(table, pd.DataFrame)]
  for table in tables:
    if name in table:
      return table[name]
  known = [*adata.obs, *adata.var_names, *(str(c) for table in tables for c in table), "H&E"]
  near = meant_by(name, known)
  raise BadInputError(
    "adata", "name", repr(name), "a column of obs, a gene, or a column of a table in obsm",
    f"did you mean {near!r}?" if near else "look at print(adata)",
  )  # fmt: skip


def stability(table: pd.DataFrame) -> Figure:
  """How well each number of domains is found again: the curve that chose how many there are.

  Args:
    table: `uns["hibio"]["domain_stability"]` of an AnnData with results.
  """
  figure, axis = plt.subplots(figsize=(5.0, 3.2), layout="constrained")
  numbers = table.index.to_numpy(int)
  axis.errorbar(numbers, table["stability"], table["spread"], marker="o", capsize=3)
  taken = table[table["chosen"].astype(bool)]
  axis.plot(
    taken.index, taken["stability"], "o", markersize=11, mfc="none", mec="C3", label="chosen"
  )
  axis.set(xlabel="domains", ylabel="stability", ylim=(0, 1.05), xticks=numbers)
  axis.legend(frameon=False)
  plt.close(figure)
  return figure


def _are_numbers(values: pd.Series) -> bool:
  return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def _sections(adata: anndata.AnnData, section: str | None) -> dict[str, np.ndarray]:
  """Name -> rows of each section that is drawn."""
  libraries = [str(name) for name in adata.uns.get("spatial", {})]
  if "library_id" in adata.obs:
    of_spot = adata.obs["library_id"].astype(str).to_numpy()
  else:
    of_spot = np.full(adata.n_obs, libraries[0] if len(libraries) == 1 else "section")
  found = {name: np.flatnonzero(of_spot == name) for name in dict.fromkeys(of_spot.tolist())}
  if section is None:
    return found
  if section not in found:
    raise BadInputError(
      "section", "name", repr(section), f"one of {', '.join(found)}", "correct the name"
    )
  return {section: found[section]}


def _tissue(adata: anndata.AnnData, section_id: str, rows: np.ndarray) -> anndata.AnnData:
  """Positions and image of one section, with the length that the AnnData states or implies."""
  there = contents.of_object(adata)
  positions = places.positions_px(there)[rows]
  array = places.array_positions(there)
  library = adata.uns.get("spatial", {}).get(section_id, {})
  factors = dict(library.get("scalefactors", {}))
  known = there.libraries.get(section_id)
  factors["microns_per_pixel"], _ = places.um_per_px(
    places.Evidence(
      positions_px=positions,
      array_positions=None if array is None else array[rows],
      scalefactors=known.scalefactors if known else {},
      path=there.path,
    )
  )
  images = dict(library.get("images", {})) if "tissue_hires_scalef" in factors else {}
  found = anndata.AnnData(obs=pd.DataFrame(index=adata.obs_names[rows]))
  found.obsm["spatial"] = positions
  found.uns["spatial"] = {section_id: {"images": images, "scalefactors": factors}}
  return found
