"""Which section each spot of an AnnData belongs to, and where on it the spot lies."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from data_pipelines.problems import BadInputError
from data_pipelines.readers.annotated.contents import POSITION_KEYS, Contents

LIBRARY_COLUMN = "library_id"
PIXEL_COLUMNS = ("pxl_col_in_fullres", "pxl_row_in_fullres")
"""x, then y."""
ARRAY_COLUMNS = ("array_row", "array_col")
_MOST_SHOWN = 8


def section_of_spots(contents: Contents, column: str | None = None) -> np.ndarray:
  """Name of the section of each spot.

  It is the column that is asked for, or `obs["library_id"]`, or the only entry of
  `uns["spatial"]`, or the column of `obs` whose values are its entries; else all spots are one
  section, named after the file.

  Raises:
    BadInputError: no such column, spots without a section, or several entries that no column names.
  """
  obs, keys = contents.obs, set(contents.libraries)
  if column is not None and column not in obs:
    raise BadInputError(
      contents.path, f"obs[{column!r}]", f"only {_shown(obs.columns)}", "a column of sections",
      "correct --library_key",
    )  # fmt: skip
  column = column or (LIBRARY_COLUMN if LIBRARY_COLUMN in obs else None)
  if column is None and len(keys) == 1:
    return np.full(len(obs), next(iter(keys)), dtype=object)
  if column is None and len(keys) > 1:
    column = next((name for name in obs if set(obs[name].dropna().astype(str)) == keys), None)
    if column is None:
      raise BadInputError(
        contents.path,
        "obs",
        f"no column for the {len(keys)} sections of uns['spatial'] ({_shown(keys)}) among "
        f"{_shown(obs.columns)}",
        f"a column {LIBRARY_COLUMN} with their names",
        "add it, or name it with --library_key",
      )
  if column is None:
    return np.full(len(obs), contents.path.stem or "section", dtype=object)
  if missing := int(obs[column].isna().sum()):
    raise BadInputError(
      contents.path, f"obs[{column!r}]", f"{missing} spots without a section", "one for each spot",
      "fill in the column",
    )  # fmt: skip
  return obs[column].astype(str).to_numpy(dtype=object)


def positions_px(contents: Contents) -> Float[np.ndarray, "spot 2"]:
  """(x, y) of each spot, in pixels of the full-size image.

  Raises:
    BadInputError: no positions, or some that are no numbers.
  """
  for key in POSITION_KEYS:
    if key in contents.positions:
      values, where = np.asarray(contents.positions[key]), f"obsm[{key!r}]"
      break
  else:
    if not all(name in contents.obs for name in PIXEL_COLUMNS):
      raise BadInputError(
        contents.path, "obsm['spatial']", f"obsm keys {_shown(contents.obsm_keys)}",
        "positions of the spots, x and y in pixels of the full-size image",
        "store them in obsm['spatial']",
      )  # fmt: skip
    values, where = contents.obs[list(PIXEL_COLUMNS)].to_numpy(), "obs"
  if values.ndim != 2 or values.shape[1] < 2:
    raise BadInputError(
      contents.path, where, f"an array of shape {values.shape}", "two columns, x and y",
      "store x and y",
    )  # fmt: skip
  try:
    values = values[:, :2].astype(np.float64)
    bad = int((~np.isfinite(values)).any(axis=1).sum())
  except (TypeError, ValueError):
    bad = len(values)
  if bad:
    raise BadInputError(
      contents.path, where, f"{bad} spots without a position", "numbers",
      "give every spot a position, or remove those spots",
    )  # fmt: skip
  return values


def array_positions(contents: Contents) -> np.ndarray | None:
  """(row, column) on the array's lattice of each spot; None where the file does not say."""
  if not all(name in contents.obs for name in ARRAY_COLUMNS):
    return None
  try:
    values = contents.obs[list(ARRAY_COLUMNS)].to_numpy(dtype=np.float64)
  except (TypeError, ValueError):
    return None
  return values if np.isfinite(values).all() else None


def _shown(names) -> str:
  names = [str(name) for name in names]
  more = f", ... ({len(names)})" if len(names) > _MOST_SHOWN else ""
  return ", ".join(names[:_MOST_SHOWN]) + more if names else "none"
