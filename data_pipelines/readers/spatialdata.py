"""SpatialData stores: a table of counts, and where the spots that it describes lie.

Places come from the shapes or labels that a table annotates, in the coordinate system that they
share with an H&E image where there is one; `obsm` may hold those of another.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data_pipelines.problems import BadInputError
from data_pipelines.readers import anndata, visium_hd, zarr_store
from data_pipelines.readers.annotated import contents
from data_pipelines.readers.annotated.sections import Choices
from data_pipelines.readers.metadata import Metadata
from data_pipelines.readers.names import source_at
from data_pipelines.readers.source import Reader, SectionSource
from data_pipelines.section import Section

_BINS = re.compile(r".*square_(\d{3})um")
_IMAGE = "he"


def _find(path: Path, metadata: Metadata) -> list[SectionSource]:
  """A section for each region that a table of the store describes.

  Raises:
    BadInputError: the store must not be read, or holds no table with places.
  """
  if not path.is_dir() or not any((path / name).is_file() for name in ("zarr.json", ".zgroup")):
    return []
  zarr_store.check(path)
  found = [(table, region) for table in _tables(path) for region in _regions(path, table)]
  found = _of_one_width(found, metadata.entry(path.stem, path, path.parent).pitch_um)
  if not found:
    raise BadInputError(
      path,
      "tables",
      f"only {', '.join(sorted(p.name for p in path.iterdir() if p.is_dir()))}",
      "a table that annotates shapes or labels",
      "add the counts as a table with region, region_key and instance_key",
    )
  return [_source_of(path, table, region, len(found) == 1, metadata) for table, region in found]


def _source_of(
  path: Path, table: str, region: str, alone: bool, metadata: Metadata
) -> SectionSource:
  return source_at(
    path,
    metadata,
    reader="spatialdata",
    files=[*sorted(path.rglob("zarr.json")), *sorted(path.rglob("*.parquet"))],
    load=functools.partial(_read_section, table=table, region=region),
    name=path.stem if alone else f"{path.stem}_{region}",
  )


READER = Reader(find=_find, holds="SpatialData stores (.zarr)", pools=True, annotated=True)


def _tables(path: Path) -> list[str]:
  folders = [*(path / "tables").glob("*"), *(path / "table").glob("*")]
  return sorted(f"{p.parent.name}/{p.name}" for p in folders if (p / "obs").is_dir())


def _regions(path: Path, table: str) -> list[str]:
  """The regions that a table describes; none where it describes no place."""
  import zarr
  from anndata.io import read_elem

  where = path / table / "uns" / "spatialdata_attrs"
  if not where.is_dir():
    return []
  attributes = read_elem(zarr.open_group(where, mode="r"))
  region = attributes.get("region")
  return [] if region is None else [str(name) for name in np.atleast_1d(region)]


def _of_one_width(found: list[tuple[str, str]], pitch_um: float | None) -> list[tuple[str, str]]:
  """Of bins of several widths, which are one tissue, the coarsest that make up the pitch."""
  width = {pair: float(m[1]) for pair in found if (m := _BINS.fullmatch(pair[1]))}
  if len(width) < len(found) or not found:
    return found
  best, _ = visium_hd.bins_for(set(width.values()), pitch_um) or (min(width.values()), 1)
  return [pair for pair in found if width[pair] == best]


def _read_section(source: SectionSource, table: str, region: str) -> Section:
  """One region of a store.

  Raises:
    BadInputError: the package is not installed, or parts are missing or do not belong together.
  """
  data = _opened(source.path)
  adata = data.tables[table.rpartition("/")[2]]
  attributes = adata.uns["spatialdata_attrs"]
  here = adata.obs[attributes["region_key"]].astype(str) == region
  adata = adata[here.to_numpy()].copy()
  places, system = _places(data, region, source.path)
  index = places.index.astype(str).get_indexer(adata.obs[attributes["instance_key"]].astype(str))
  if (index < 0).any():
    raise BadInputError(
      source.path,
      f"region {region}",
      f"no place of {int((index < 0).sum()):,} of {len(index):,} spots of {table}",
      "a shape for each of them",
      "write the store again, its table matched to its shapes",
    )
  positions, scale = places[["x", "y"]].to_numpy(float)[index], 1.0
  image, to_px, unused = _image(data, source.path, system)
  given = source.entry.path_of("image")
  if source.entry.is_without_image or given is not None:
    image = None
  if image is not None:
    positions = positions @ to_px[:2, :2].T + to_px[:2, 2]
    scale = abs(np.linalg.det(to_px[:2, :2])) ** 0.5
  adata.obsm["spatial"] = positions
  adata.uns.pop("spatial", None)
  found = contents.of_object(adata, str(source.path))
  images = {} if image is None else {_IMAGE: image}
  bins = _BINS.fullmatch(region)
  factors = {f"tissue_{_IMAGE}_scalef": 1.0} | ({"bin_size_um": float(bins[1])} if bins else {})
  found = dataclasses.replace(found, libraries={region: contents.Library(images, factors)})
  um_per_px = source.entry.um_per_px
  choices = Choices(
    layer=source.entry.layer,
    image=given,
    image_scale=source.entry.image_scale,
    um_per_px=um_per_px and um_per_px / scale,
    platform=source.entry.platform,
  )
  rows = np.arange(adata.n_obs)
  notes = (f"{table}, region {region}, coordinate system {system}", *unused)
  return anndata.section_in(found, source, region, rows, choices, notes=notes)


def _opened(path: Path) -> Any:
  try:
    with warnings.catch_warnings():
      warnings.simplefilter("ignore")
      import spatialdata

      return spatialdata.read_zarr(path)
  except ImportError as error:
    raise BadInputError(
      path,
      "package",
      "no spatialdata",
      "spatialdata, which reads such stores",
      "pip install 'hibio-st[spatialdata]'",
    ) from error
  except Exception as error:  # the library raises whatever zarr, pandas and Arrow raise
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    raise BadInputError(
      path, "store", f"not readable ({reason})", "what spatialdata writes", "write the store again"
    ) from error


def _places(data: Any, region: str, path: Path) -> tuple[pd.DataFrame, str]:
  """Centres of the region's shapes or labels by instance, and the coordinate system they are in."""
  import spatialdata
  from spatialdata.transformations import get_transformation

  if region not in data:
    there = [name for kind in ("shapes", "labels") for name in getattr(data, kind)]
    found = f"no element of that name among {', '.join(there) or 'none'}"
    raise BadInputError(
      path, f"region {region}", found, "the shapes or labels of the table", "add them to the store"
    )
  systems = list(get_transformation(data[region], get_all=True))
  shown = [set(get_transformation(image, get_all=True)) for image in data.images.values()]
  system = next((s for s in systems if any(s in some for some in shown)), None)
  system = system or ("global" if "global" in systems else systems[0])
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    centres = spatialdata.get_centroids(data[region], coordinate_system=system).compute()
  return centres, system


def _image(
  data: Any, path: Path, system: str
) -> tuple[contents.StoredImage | None, np.ndarray, list[str]]:
  """The largest image of three channels of the system, the map onto its pixels, and the others."""
  from spatialdata.transformations import get_transformation

  best, to_px, unused = None, np.eye(3), {}
  for name, element in data.images.items():
    transformation = get_transformation(element, get_all=True).get(system)
    stored = zarr_store.image_in(path, f"images/{name}")
    if transformation is None:
      unused[name] = f"it is not in the coordinate system {system}"
    elif stored.shape[2] not in (3, 4):
      unused[name] = f"it has {stored.shape[2]} channels and is no H&E"
    elif best is not None and np.prod(stored.shape) <= np.prod(best.shape):
      unused[name] = "another one is larger"
    else:
      if best is not None:
        unused[best.inside.rpartition("/")[2]] = "another one is larger"
      best = stored
      axes = ("x", "y")
      to_px = np.linalg.inv(transformation.to_affine_matrix(axes, axes))
  return best, to_px, [f"image {name} is not used: {why}" for name, why in unused.items()]
