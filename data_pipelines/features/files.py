"""Files of features as other tools write them, read without knowing the spots that they are of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from jaxtyping import Float

from data_pipelines.hdf5_safety import open_hdf5
from data_pipelines.problems import BadInputError

KEYS = ("section_id", "spot_id")
"""Columns of a table that say what a row is of."""

KINDS = (
  "a table (.parquet, .csv, .tsv); or, named with {section}, HDF5 with embeddings and barcodes,"
  " HDF5 with features and coords, or .pt"
)
Tensors = Callable[[Path], Mapping[str, np.ndarray]]
"""Tensors by name of a file of torch.save; a bare tensor is named ""."""

_VALUES = ("embeddings", "features", "")


@dataclasses.dataclass(frozen=True)
class OfSection:
  """Features of one section, each of a spot by its name or of a square patch by its place.

  Attributes:
    values: one row a spot or patch.
    barcodes: names of spots; None where places are known instead.
    corners_px: top left corners of the patches, in pixels of the whole slide (its level 0).
    patch_px: side of a patch in the same pixels.
    slide_px: width of the slide in the same pixels; None where the file does not say.
    encoder: what the file says that it was extracted with; empty where it does not.
  """

  values: Float[np.ndarray, "row width"]
  barcodes: np.ndarray | None = None
  corners_px: Float[np.ndarray, "row 2"] | None = None
  patch_px: float = 0.0
  slide_px: float | None = None
  encoder: str = ""


def read_table(path: Path) -> pd.DataFrame:
  """A table of features, with the columns `KEYS` first among its index.

  Raises:
    BadInputError: no such file, no key columns, or features that are not numbers.
  """
  try:
    if path.suffix == ".parquet":
      table = pd.read_parquet(path)
    else:
      separator = "\t" if ".tsv" in path.name else ","
      table = pd.read_csv(path, sep=separator, dtype=dict.fromkeys(KEYS, str))
  except (OSError, ValueError) as error:
    raise unreadable(path, error) from error
  for key in KEYS:
    if key not in table:
      raise BadInputError(
        path, f"column {key}", f"only {', '.join(map(str, table.columns[:6]))}",
        "the columns section_id and spot_id, then one a dimension", f"add a column {key}",
      )  # fmt: skip
  table = table.astype(dict.fromkeys(KEYS, str)).drop_duplicates(list(KEYS)).set_index(list(KEYS))
  wrong = [str(name) for name in table if not pd.api.types.is_numeric_dtype(table[name])]
  if wrong or not len(table.columns):
    raise BadInputError(
      path, "features", f"text in {', '.join(wrong[:4])}" if wrong else "no column of features",
      "numbers", "leave other columns out",
    )  # fmt: skip
  return table


def read_section(path: Path, tensors: Tensors | None = None) -> OfSection:
  """The features of one section, of an HDF5 or a .pt file.

  Args:
    tensors: reads .pt files.

  Raises:
    BadInputError: no such file, or one without features and what says where they belong.
  """
  if path.suffix in (".pt", ".pth") and tensors is not None:
    return _of_tensors(path, tensors(path))
  if not path.is_file():
    raise unreadable(path, FileNotFoundError("no such file"))
  with open_hdf5(path) as file:
    return _of_hdf5(path, file)


def unreadable(path: str | Path, error: Exception) -> BadInputError:
  """The error for a file that cannot be opened as any of `KINDS`."""
  reason = str(error).splitlines()[0] if str(error) else type(error).__name__
  return BadInputError(
    path, "features", f"not readable ({reason})", KINDS, "correct the path or the file"
  )


def _of_hdf5(path: Path, file: h5py.File) -> OfSection:
  name = next((name for name in _VALUES if name and name in file), None)
  if name is None or not ("barcodes" in file or "coords" in file):
    raise BadInputError(
      path, "content", f"only {', '.join(list(file)[:6]) or 'nothing'}",
      "embeddings and barcodes, or features and coords", "correct the path or the file",
    )  # fmt: skip
  about = {**file.attrs, **file[name].attrs}
  encoder = next((_text(about[key]) for key in ("encoder", "encoder_name") if key in about), "")
  values = _rows(path, np.asarray(file[name]))
  if "barcodes" in file:
    barcodes = np.array([_text(one) for one in np.asarray(file["barcodes"]).ravel()], object)
    found = OfSection(values, barcodes=barcodes, encoder=encoder)
    rows = len(barcodes)
  else:
    found = dataclasses.replace(_placed(path, file), values=values, encoder=encoder)
    rows = len(found.corners_px)
  if rows != len(values):
    raise BadInputError(
      path, "rows", f"{len(values):,} of features for {rows:,} places or names", "as many of both",
      "extract the features again",
    )  # fmt: skip
  return found


def _of_tensors(path: Path, tensors: Mapping[str, np.ndarray]) -> OfSection:
  name = next((name for name in _VALUES if name in tensors), None)
  if name is None:
    raise BadInputError(
      path, "content", f"only {', '.join(list(tensors)[:6])}", "one tensor of features",
      "correct the path or the file",
    )  # fmt: skip
  values = _rows(path, tensors[name])
  above = path.parent.parent
  beside = (path.parent, above / "h5_files", above / "patches")
  for file in (folder / f"{path.stem}.h5" for folder in beside):
    if file.is_file():
      with open_hdf5(file) as opened:
        placed = _placed(file, opened)
      if len(placed.corners_px) == len(values):
        return dataclasses.replace(placed, values=values)
  raise BadInputError(
    path, "coordinates", f"no {path.stem}.h5 with coords of {len(values):,} patches beside it",
    "where each patch lies", f"give h5_files/{path.stem}.h5, or put the patches' file beside it",
  )  # fmt: skip


def _placed(path: Path, file: h5py.File) -> OfSection:
  """Where patches lie, without their features."""
  if "coords" not in file:
    raise BadInputError(path, "coords", "none", "corners of patches", "extract them again")
  corners = np.asarray(file["coords"], np.float64)
  about = {**file.attrs, **file["coords"].attrs}
  size = _number(about.get("patch_size_level0"))
  if size is None and "patch_size" in about:  # CLAM: at its own level
    size = _number(about["patch_size"]) * (_number(about.get("downsample")) or 1.0)
  if size is None or corners.ndim != 2 or corners.shape[1] != 2:
    raise BadInputError(
      path, "coords", f"shape {corners.shape}, attributes {', '.join(about) or 'none'}",
      "x and y of corners, and patch_size_level0", "write the attribute patch_size_level0",
    )  # fmt: skip
  return OfSection(
    values=np.zeros((len(corners), 0), np.float32),
    corners_px=corners,
    patch_px=size,
    slide_px=_number(about.get("level0_width")),
  )


def _rows(path: Path, values: np.ndarray) -> Float[np.ndarray, "row width"]:
  values = values[0] if values.ndim == 3 and len(values) == 1 else values
  if values.ndim != 2 or values.dtype.kind not in "fiu":
    raise BadInputError(
      path, "features", f"{values.dtype} of shape {values.shape}",
      "numbers, one row a spot or patch", "extract them again",
    )  # fmt: skip
  return values.astype(np.float32)


def _text(value: object) -> str:
  return value.decode() if isinstance(value, bytes) else str(value)


def _number(value: object) -> float | None:
  """The first of them, where there are several; None if there is none."""
  numbers = np.ravel(value) if value is not None else ()
  return float(numbers[0]) if len(numbers) else None
