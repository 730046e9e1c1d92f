"""The parts of an AnnData that are read, the same whether it is an object or a file.

Of a file the tables of spots and genes come into memory; matrices and images stay where they are.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from jaxtyping import Bool

from data_pipelines.hdf5_safety import checked_file
from data_pipelines.problems import BadInputError
from data_pipelines.readers.annotated import count_rows
from data_pipelines.readers.annotated.count_rows import CountRows, MemoryRows

POSITION_KEYS = ("spatial", "X_spatial", "Spatial")
RESULTS = "hibio_"
"""Layers of earlier results begin so: they are no counts."""

_PARTS = {"images", "scalefactors"}
"""Of a library."""

_DEEPEST, _SMALLEST_PX = 5, 32
"""Keys that lead to an array of `uns`, and the shorter side of what is a picture."""

CACHE_BYTES = 16 * 1024**2
"""Of each matrix: rows of one window lie all over a file, and unpacking chunks is expensive."""


@dataclasses.dataclass(frozen=True)
class StoredImage:
  """An image in `uns["spatial"]`: its shape, how to read it, and its name in the file if any."""

  shape: tuple[int, ...]
  load: Callable[[], np.ndarray]
  inside: str = ""


@dataclasses.dataclass(frozen=True)
class Library:
  """One entry of `uns["spatial"]`.

  Attributes:
    images: name -> image.
    scalefactors: name -> number.
    source: the file that the images were made from, where `metadata` names one that is there.
    source_scale: its pixels per pixel of the positions.
    missing_source: the file that is named and is not there; empty where there is none.
  """

  images: Mapping[str, StoredImage]
  scalefactors: Mapping[str, float]
  source: Path | None = None
  source_scale: float = 1.0
  missing_source: str = ""


@dataclasses.dataclass(frozen=True)
class Contents:
  """What is read of an AnnData.

  Attributes:
    path: the file, or a name for the object, for messages.
    obs: table of spots.
    genes: "var" and, where there is one, "raw.var": tables of genes.
    matrices: "layers['counts']", "X", "raw.X", ...: the matrices and which table names their genes.
    positions: key of `obsm` -> array or table; only keys that may hold positions.
    obsm_keys: every key of `obsm`.
    libraries: `uns["spatial"]`.
    stray_images: where else in `uns` there are pictures in colour.
    measured: section -> which genes of "var" it measures, where sections differ; stored in
      `varm["measured"]`, a column for each of `uns["measured_sections"]`.
  """

  path: Path
  obs: pd.DataFrame
  genes: Mapping[str, pd.DataFrame]
  matrices: Mapping[str, tuple[CountRows, str]]
  positions: Mapping[str, np.ndarray | pd.DataFrame]
  obsm_keys: tuple[str, ...]
  libraries: Mapping[str, Library]
  stray_images: tuple[str, ...] = ()
  measured: Mapping[str, Bool[np.ndarray, " gene"]] = dataclasses.field(default_factory=dict)


def of_object(adata: Any, name: str = "adata") -> Contents:
  """From an AnnData in memory, or one that is backed by a file."""
  genes = {"var": adata.var}
  matrices = {
    layer_name(key): (MemoryRows(matrix), "var")
    for key, matrix in adata.layers.items()
    if not key.startswith(RESULTS)
  }
  if adata.X is not None:
    matrices["X"] = (MemoryRows(adata.X), "var")
  if adata.raw is not None:
    genes["raw.var"] = adata.raw.var
    matrices["raw.X"] = (MemoryRows(adata.raw.X), "raw.var")
  return Contents(
    path=Path(name),
    obs=adata.obs,
    genes=genes,
    matrices=matrices,
    positions={key: adata.obsm[key] for key in POSITION_KEYS if key in adata.obsm},
    obsm_keys=tuple(adata.obsm),
    libraries=_libraries(adata.uns.get("spatial", {})),
    stray_images=tuple(_stray_images(adata.uns)),
    measured=_measured(adata.varm.get("measured"), adata.uns.get("measured_sections")),
  )


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Contents]:
  """From an .h5ad file, which stays open as long as the context does.

  Raises:
    BadInputError: no such file, not HDF5, unsafe, damaged, or no AnnData.
  """
  with contextlib.closing(checked_file(path, CACHE_BYTES)) as file:
    yield _of_file(file, path)


def image_in(path: Path, name: str) -> StoredImage:
  """One image of an .h5ad file, by its name in the file.

  Raises:
    BadInputError: as `opened`, or the file has no such image.
  """
  with contextlib.closing(checked_file(path)) as file:
    if not isinstance(file.get(name), h5py.Dataset):
      raise BadInputError(path, name, "nothing", "an image", "put back the file as it was")
    return _image(file[name])


def layer_name(key: str) -> str:
  """How a layer is called in messages and settings."""
  return f"layers[{key!r}]"


def _of_file(file: h5py.File, path: Path) -> Contents:
  if not isinstance(file.get("obs"), h5py.Group) or not isinstance(file.get("var"), h5py.Group):
    found = ", ".join(list(file)[:6]) or "nothing"
    fix = "give an .h5ad file; one by anndata before 0.7 must be read and written again"
    raise BadInputError(path, "AnnData", f"only {found}", "the groups obs and var", fix)
  genes = {"var": _element(file["var"], path)}
  matrices = {}
  for key, item in _group(file, "layers").items():
    if key.startswith(RESULTS):
      continue
    matrices[layer_name(key)] = (count_rows.stored(item, path), "var")
  if "X" in file and not _is_nothing(file["X"]):
    matrices["X"] = (count_rows.stored(file["X"], path), "var")
  raw = _group(file, "raw")
  if "X" in raw and "var" in raw:
    genes["raw.var"] = _element(raw["var"], path)
    matrices["raw.X"] = (count_rows.stored(raw["X"], path), "raw.var")
  obsm, uns = _group(file, "obsm"), _group(file, "uns")
  measured = ((_group(file, "varm"), "measured"), (uns, "measured_sections"))
  positions = {key: _element(obsm[key], path) for key in POSITION_KEYS if key in obsm}
  return Contents(
    path=path,
    obs=_element(file["obs"], path),
    genes=genes,
    matrices=matrices,
    positions=positions,
    obsm_keys=tuple(obsm),
    libraries=_libraries(_group(uns, "spatial")),
    stray_images=tuple(_stray_images(uns)),
    measured=_measured(
      *(_element(group[key], path) if key in group else None for group, key in measured)
    ),
  )


def _group(parent: Any, name: str) -> Any:
  child = parent.get(name)
  return child if isinstance(child, h5py.Group) else {}


def _is_nothing(item: Any) -> bool:
  return str(item.attrs.get("encoding-type", "")) == "null"


def _element(item: Any, path: Path) -> Any:
  """A table or an array, by anndata's own reader.

  Raises:
    BadInputError: what is stored cannot be read.
  """
  from anndata.io import read_elem  # two seconds, which no other reader should wait for

  try:
    return read_elem(item)
  except Exception as error:  # anndata adds notes to whatever h5py, pandas and NumPy raise
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    raise BadInputError(
      path,
      item.name,
      f"not readable ({reason})",
      "what anndata writes",
      "read the file with the anndata that wrote it, and write it again",
    ) from error


def _libraries(spatial: Any) -> dict[str, Library]:
  """`uns["spatial"]` of a file or an object; what is no number or no array is left out.

  Where images lie in it without a library, there is one without a name.
  """
  found = {}
  if hasattr(spatial, "items") and set(spatial) >= _PARTS:
    spatial = {"": spatial}
  for name, entry in spatial.items() if hasattr(spatial, "items") else ():
    if not hasattr(entry, "get"):
      continue
    images = entry.get("images") if hasattr(entry.get("images"), "items") else {}
    factors = entry.get("scalefactors") if hasattr(entry.get("scalefactors"), "items") else {}
    about = entry.get("metadata") if hasattr(entry.get("metadata"), "items") else {}
    source = _text(about.get("source_image_path"))
    found[str(name)] = Library(
      {str(key): _image(array) for key, array in images.items() if hasattr(array, "shape")},
      {str(key): number for key, value in factors.items() if (number := _number(value))},
      Path(source) if source and Path(source).is_file() else None,
      _number(about.get("source_image_scale")) or 1.0,
      source if source and not Path(source).is_file() else "",
    )
  return found


def _stray_images(parent: Any, *above: str) -> Iterator[str]:
  """Pictures in colour that do not lie where `_libraries` reads them."""
  for key, item in parent.items():
    keys = (*above, str(key))
    if hasattr(item, "items") and len(keys) < _DEEPEST:
      yield from _stray_images(item, *keys)
    shape = getattr(item, "shape", ())
    is_picture = len(shape) == 3 and shape[2] in (3, 4) and min(shape[:2]) >= _SMALLEST_PX
    known = len(keys) in (3, 4) and keys[0] == "spatial" and keys[-2] == "images"
    if is_picture and not known:
      yield "uns" + "".join(f"[{key!r}]" for key in keys)


def _image(array: Any) -> StoredImage:
  shape = tuple(map(int, array.shape))
  if not isinstance(array, h5py.Dataset):
    return StoredImage(shape, lambda: array)
  path, name = Path(array.file.filename), array.name
  return StoredImage(shape, functools.partial(_pixels, path, name), name)


def _pixels(path: Path, name: str) -> np.ndarray:
  """Opens the file anew: sections outlive the one that they were found in."""
  with h5py.File(path, "r") as file:
    return count_rows.read_part(file[name], slice(None), path)


def _measured(table: Any, sections: Any) -> dict[str, np.ndarray]:
  if (
    table is None or sections is None or np.ndim(table) != 2 or len(sections) != np.shape(table)[1]
  ):
    return {}
  columns = np.asarray(table).astype(bool).T
  return {str(name): column for name, column in zip(sections, columns, strict=True)}


def _text(value: Any) -> str:
  value = value[()] if isinstance(value, h5py.Dataset) else value
  value = value.decode() if isinstance(value, bytes) else value
  return value if isinstance(value, str) else ""


def _number(value: Any) -> float | None:
  """A positive number; None for anything else."""
  try:
    number = float(value[()] if isinstance(value, h5py.Dataset) else value)
  except (TypeError, ValueError):
    return None
  return number if 0 < number < float("inf") else None
