"""Tissue as an AnnData that scanpy and squidpy can draw, before anything is computed of it."""

from __future__ import annotations

import collections
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import scipy.sparse

from data_pipelines import readers, synthetic
from data_pipelines.hdf5_safety import open_hdf5
from data_pipelines.problems import BadInputError
from data_pipelines.readers.slide import Slide
from data_pipelines.section import Section
from data_pipelines.slide_image import ArrayImage, SlideImage
from data_pipelines.synthetic import programs
from data_pipelines.synthetic.sections import DrawnSection, draw_section
from hibio.export.results import UNS

HIRES_PX = 2000
"""Longest side of the image in `uns["spatial"]`, as in Space Ranger's output."""

_FIDUCIAL_UM = 105.0

_FIRST_NEW = 100
"""Sections of `synthetic_section` are numbered from here on: donors that no preset holds."""


def read(path: str | os.PathLike, metadata: str | os.PathLike | None = None) -> anndata.AnnData:
  """What lies in a folder or a file as one AnnData; see `hibio.read`."""
  if _holds_results(Path(path)):
    return anndata.read_h5ad(path)
  return of_sections([source.read() for source in readers.open_sections(path, metadata)])


def _holds_results(path: Path) -> bool:
  """Whether it is an `.h5ad` that `hibio embed` has added to: that is an AnnData as it stands."""
  if path.suffix != ".h5ad" or not path.is_file():
    return False
  with open_hdf5(path) as file:
    return f"uns/{UNS}" in file


def synthetic_section(seed: int = 0, preset: str = "small") -> anndata.AnnData:
  """A section that is made up, with its planted truth; see `hibio.synthetic_section`."""
  if preset not in synthetic.PRESETS:
    known = f"one of {', '.join(synthetic.PRESETS)}"
    raise BadInputError("preset", "name", repr(preset), known, "name one of these presets")
  if seed < 0:
    raise BadInputError("seed", "value", str(seed), "0 or more", "give another seed")
  chosen = synthetic.PRESETS[preset]
  genes = programs.draw_genes(chosen, 0)
  number = (_FIRST_NEW + seed) * chosen.sections_per_donor
  drawn = draw_section(chosen, genes, 0, number)
  adata = of_sections([_section(drawn, genes)])
  planted = [f"activity/{name}" for name in programs.PROGRAMS]
  adata.obsm["planted_programs"] = pd.DataFrame(
    drawn.truth[planted].to_numpy(np.float32),
    adata.obs_names,
    [f"planted {name}" for name in programs.PROGRAMS],
  )
  adata.uns["planted"] = {
    "programs": {name: np.array(genes.members(name), object) for name in programs.PROGRAMS},
    "leaf_programs": {
      leaf: np.array([p for p, leaves in programs.LEAF_PROGRAMS.items() if leaf in leaves], object)
      for leaf in sorted(set(drawn.truth["leaf"]))
    },
    "housekeeping": np.sort(genes.symbols[genes.housekeeping]).astype(object),
  }
  return adata


def _section(drawn: DrawnSection, genes: programs.Genes) -> Section:
  """A drawn section as a reader returns one, its spots in tissue alone."""
  spots = len(drawn.truth)  # those off the tissue come behind them
  height, width = drawn.pixels.shape[:2]
  centres = drawn.truth[["x_um", "y_um"]].to_numpy()
  lattice = np.stack([drawn.lattice.row, drawn.lattice.column], 1)[drawn.in_tissue]
  return Section(
    section_id=drawn.name,
    donor_id=drawn.donor,
    platform="synthetic",
    species="human",
    counts=scipy.sparse.csr_matrix(drawn.counts[:spots]),
    gene_ids=genes.ids[drawn.measured].astype(object),
    gene_symbols=genes.symbols[drawn.measured].astype(object),
    spot_ids=drawn.truth["barcode"].to_numpy(object),
    positions_um=centres,
    positions_px=centres / drawn.um_per_px,
    array_positions=lattice,
    um_per_px=drawn.um_per_px,
    um_per_px_source="planted",
    image=ArrayImage.of("synthetic", (height, width, 3), "full", lambda: drawn.pixels),
    labels={name: drawn.truth[name].to_numpy(object) for name in ("leaf", "compartment")},
  )


def of_sections(sections: Sequence[Section]) -> anndata.AnnData:
  """All spots of the sections, one after the other.

  `X` holds raw counts over the genes of all sections. A gene that a section does not measure is 0
  there, and `varm["measured"]` says so, a column a section. `obsm["spatial"]` are pixels of the
  full-size image, `uns["spatial"]` has an entry for each section.
  """
  columns = _column_names(sections)
  parts = [_one(section, columns) for section in sections]
  if len(parts) == 1:
    whole = parts[0]
  else:
    names = pd.Index([name for part in parts for name in part.obs_names])
    for section, part in zip(sections, parts, strict=True):
      if names.has_duplicates:  # slides share barcodes
        part.obs_names = [f"{section.section_id}_{name}" for name in part.obs_names]
    whole = anndata.concat(parts, join="outer", fill_value=0)
    # A merge by anndata knows the first section's genes only.
    genes = pd.concat([part.var for part in parts])
    whole.var = genes[~genes.index.duplicated()].loc[whole.var_names]
    measured = pd.DataFrame({one.section_id: False for one in sections}, index=whole.var_names)
    for section, part in zip(sections, parts, strict=True):
      measured.loc[part.var_names, section.section_id] = True
    whole.varm["measured"] = measured.to_numpy()
    whole.uns["measured_sections"] = np.array([one.section_id for one in sections], dtype=object)
    for name in whole.obs:
      if whole.obs[name].dtype == object:
        whole.obs[name] = whole.obs[name].fillna("")
  for name in ("library_id", "donor_id"):
    whole.obs[name] = pd.Categorical(whole.obs[name].astype(str))
  whole.uns["spatial"] = {
    one.section_id: _library(one.image, one.image_scale, one.um_per_px, one.spot_um)
    for one in sections
  }
  return whole


def of_slide(slide: Slide) -> anndata.AnnData:
  """The spots of an image without counts: no genes, positions, and the image."""
  section = slide.section
  obs = pd.DataFrame(
    {"library_id": pd.Categorical([section.section_id] * section.num_spots)},
    index=pd.Index(slide.spot_ids.astype(str)),
  )
  if slide.array_positions is not None:
    obs["array_row"], obs["array_col"] = slide.array_positions.T
  obs["in_tissue"] = 1
  adata = anndata.AnnData(obs=obs)
  adata.obsm["spatial"] = section.positions_px
  adata.uns["spatial"] = {
    section.section_id: _library(section.image, 1.0, section.um_per_px, slide.spot_um)
  }
  return adata


def with_genes(adata: anndata.AnnData, panel: Mapping[str, Sequence[str]]) -> anndata.AnnData:
  """The spots of an image with genes to predict: columns, and no counts.

  Args:
    panel: `ids` and `symbols` of the genes.
  """
  times = collections.Counter(panel["symbols"])
  pairs = list(zip(panel["ids"], panel["symbols"], strict=True))
  var = pd.DataFrame(
    {"gene_ids": [id_ for id_, _ in pairs], "gene_symbols": [symbol for _, symbol in pairs]},
    index=pd.Index([id_ if times[symbol] > 1 else symbol for id_, symbol in pairs]),
  )
  found = anndata.AnnData(obs=adata.obs, var=var, uns=adata.uns)
  found.obsm["spatial"] = adata.obsm["spatial"]
  return found


def _column_names(sections: Sequence[Section]) -> dict[str, str]:
  """Gene id -> name of its column: its symbol; the id where two genes share the symbol.

  The same gene has the same name in all sections, whichever of its namesakes they measure.
  """
  symbol_of: dict[str, str] = {}
  ids_of: dict[str, set[str]] = collections.defaultdict(set)
  shared: set[str] = set()
  for section in sections:
    here = collections.Counter()
    for id_, symbol in zip(section.gene_ids.tolist(), section.gene_symbols.tolist(), strict=True):
      symbol = symbol_of.setdefault(id_, symbol)
      here[symbol] += 1
      if id_ != symbol:  # a gene known by its symbol alone may be any of its namesakes
        ids_of[symbol].add(id_)
    shared |= {symbol for symbol, genes in here.items() if genes > 1}
  shared |= {symbol for symbol, ids in ids_of.items() if len(ids) > 1}
  return {id_: id_ if symbol in shared else symbol for id_, symbol in symbol_of.items()}


def _one(section: Section, columns: dict[str, str]) -> anndata.AnnData:
  obs = pd.DataFrame(
    {
      "library_id": section.section_id,
      "donor_id": section.donor_id,
      "in_tissue": 1,
      "array_row": section.array_positions[:, 0],
      "array_col": section.array_positions[:, 1],
      **{name: values.astype(str) for name, values in section.labels.items()},
    },
    index=pd.Index(section.spot_ids.astype(str)),
  )
  ids, symbols = section.gene_ids.astype(str), section.gene_symbols.astype(str)
  var = pd.DataFrame(
    {"gene_ids": ids, "gene_symbols": symbols}, index=pd.Index([columns[id_] for id_ in ids])
  )
  adata = anndata.AnnData(X=section.counts, obs=obs, var=var)
  adata.obsm["spatial"] = section.positions_px / section.image_scale
  return adata


def _library(
  image: SlideImage | None, image_scale: float, um_per_px: float, spot_um: float
) -> dict:
  """One entry of `uns["spatial"]`; lengths in pixels of the full-size image."""
  full_um_per_px = um_per_px * image_scale
  factors = {
    "spot_diameter_fullres": spot_um / full_um_per_px,
    "fiducial_diameter_fullres": _FIDUCIAL_UM / full_um_per_px,
    "microns_per_pixel": full_um_per_px,
  }
  images, about = {}, {}
  if image is not None:
    if image.path.is_file() and not isinstance(image, ArrayImage):  # what is embedded is this one
      about = {"source_image_path": str(image.path.resolve()), "source_image_scale": image_scale}
    images["hires"] = image.thumbnail(HIRES_PX)
    factors["tissue_hires_scalef"] = images["hires"].shape[1] / image.width_px * image_scale
  return {"images": images, "scalefactors": factors, "metadata": about}
