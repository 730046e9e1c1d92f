"""Where each spot of an AnnData lies, and how long a pixel is.

No key states the length of a pixel by agreement. The lattice of an array decides, and what else the
file says is held against it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree

from data_pipelines.problems import BadInputError
from data_pipelines.readers import array_fit, lattice
from data_pipelines.readers.annotated.contents import POSITION_KEYS, Contents
from data_pipelines.readers.space_ranger import PITCH_UM
from data_pipelines.readers.tissue_positions import NAMES_OF_XY

PIXEL_COLUMNS = (("pxl_col_in_fullres", "pxl_row_in_fullres"), ("imagecol", "imagerow"))
"""x, then y: as Space Ranger and as Seurat call them."""
ARRAY_COLUMNS = ("array_row", "array_col")
_MOST_SHOWN = 8
_TOLERANCE, _ROUGH = 0.05, 0.15
HEXAGONS = "hexagonal lattice, taken for Visium's 100 um"
"""Of itself an assumption: other arrays are hexagonal, too."""
_HEXAGONAL = 1.1
"""The sixth neighbour of a spot on a hexagonal lattice is hardly farther than the first."""


def positions_px(contents: Contents) -> Float[np.ndarray, "spot 2"]:
  """(x, y) of each spot, in pixels of the full-size image.

  Raises:
    BadInputError: no positions, or some that are not numbers.
  """
  for key in POSITION_KEYS:
    if key in contents.positions:
      values, where = np.asarray(_x_before_y(contents.positions[key])), f"obsm[{key!r}]"
      break
  else:
    columns = next((pair for pair in PIXEL_COLUMNS if set(pair) <= set(contents.obs)), None)
    if columns is None:
      raise BadInputError(
        contents.path,
        "obsm['spatial']",
        f"obsm keys {shown(contents.obsm_keys)}",
        "positions of the spots, x and y in pixels of the full-size image",
        "store them in obsm['spatial']",
      )
    values, where = contents.obs[list(columns)].to_numpy(), "obs"
  if values.ndim != 2 or values.shape[1] < 2:
    raise BadInputError(
      contents.path,
      where,
      f"an array of shape {values.shape}",
      "two columns, x and y",
      "store x and y",
    )
  try:
    values = values[:, :2].astype(np.float64)
    bad = int((~np.isfinite(values)).any(axis=1).sum())
  except (TypeError, ValueError):
    bad = len(values)
  if bad:
    raise BadInputError(
      contents.path,
      where,
      f"{bad} spots without a position",
      "numbers",
      "give every spot a position, or remove those spots",
    )
  return values


def _x_before_y(stored: np.ndarray | pd.DataFrame) -> np.ndarray | pd.DataFrame:
  """The two columns of a table that are named x and y; as it is where none are."""
  if not isinstance(stored, pd.DataFrame):
    return stored
  own = {str(name).lower(): place for place, name in enumerate(stored.columns)}
  pairs = (*NAMES_OF_XY, ("x_centroid", "y_centroid"), ("col", "row"), ("column", "row"))
  named = next((pair for pair in pairs if own.keys() >= set(pair)), None)
  return stored if named is None else stored.iloc[:, [own[name] for name in named]]


def array_positions(contents: Contents) -> np.ndarray | None:
  """(row, column) on the array's lattice of each spot; None where the file does not say."""
  if not all(name in contents.obs for name in ARRAY_COLUMNS):
    return None
  try:
    values = contents.obs[list(ARRAY_COLUMNS)].to_numpy(dtype=np.float64)
  except (TypeError, ValueError):
    return None
  return values if np.isfinite(values).all() else None


def on_tissue(obs: pd.DataFrame, path: Path) -> Bool[np.ndarray, " spot"]:
  """`obs["in_tissue"]`, 0 and 1 or False and True; without it every spot counts.

  Raises:
    BadInputError: other values.
  """
  if "in_tissue" not in obs:
    return np.ones(len(obs), bool)
  known = (
    obs["in_tissue"]
    .astype(str)
    .str.lower()
    .map({"1": True, "0": False, "true": True, "false": False, "1.0": True, "0.0": False})
  )
  if known.isna().any():
    wrong = repr(obs["in_tissue"][known.isna()].iloc[0])
    raise BadInputError(path, "obs['in_tissue']", wrong, "0 or 1", "correct the column")
  return known.to_numpy(bool)


def shown(names) -> str:
  """Some names, for messages."""
  names = [str(name) for name in names]
  more = f", ... ({len(names)})" if len(names) > _MOST_SHOWN else ""
  return ", ".join(names[:_MOST_SHOWN]) + more if names else "none"


class Evidence(NamedTuple):
  """What is known of one section.

  Attributes:
    positions_px: spot centres in pixels of the full-size image.
    array_positions: (row, column) on the array; None where the file does not say.
    scalefactors: of the section's entry in `uns["spatial"]`.
    path: for messages.
  """

  positions_px: Float[np.ndarray, "spot 2"]
  array_positions: np.ndarray | None
  scalefactors: Mapping[str, float]
  path: Path


def um_per_px(evidence: Evidence) -> tuple[float, str]:
  """Micrometres per pixel of the full-size image, and how it was found: the lattice decides.

  Raises:
    BadInputError: nothing in the file states a length, or two lengths contradict each other.
  """
  found = {how: value for how, rule in RULES.items() if (value := rule(evidence)) is not None}
  if not found and _is_visium(evidence, exchanged=True):
    raise BadInputError(
      evidence.path,
      "obs['array_row']",
      "rows and columns of the array the other way round",
      "rows that are longer by 1.7 than columns, which count half spots",
      "exchange array_row and array_col",
    )
  if not found:
    array = evidence.array_positions is not None and "bin_size_um" not in evidence.scalefactors
    also = "say --platform=legacy_st if spots are 200 um apart, on such an array, or " * array
    raise BadInputError(
      evidence.path,
      "micrometres per pixel",
      f"no length in the scalefactors ({', '.join(evidence.scalefactors) or 'none'}) and no "
      "lattice of known pitch: a spot's diameter alone proves nothing",
      "microns_per_pixel, or array_row and array_col of a Visium slide",
      f"{also}give --um_per_px (1 where positions are micrometres)",
    )
  (how, value), *others = found.items()
  for other, second in others:
    if abs(second / value - 1) > (_ROUGH if other == HEXAGONS else _TOLERANCE):
      raise _contradiction(evidence, f"{value:.4g} by {how}", f"{second:.4g} by {other}")
  said = [f"{second:.4g} by {other}" for other, second in others]
  diameter = evidence.scalefactors.get("spot_diameter_fullres")
  if diameter is not None and (_is_visium(evidence) or _neighbours(evidence)):
    spot_um = lattice.spot_um(value, diameter)
    if spot_um is None:
      by_diameter = " or ".join(f"{um / diameter:.4g}" for um in lattice.SPOT_UM)
      raise _contradiction(
        evidence,
        f"{value:.4g} by {how}",
        f"{by_diameter} by spots of {' or '.join(f'{um:g}' for um in lattice.SPOT_UM)} um",
      )
    said.append(f"{spot_um / diameter:.4g} by spots of {spot_um:g} um")
  return value, f"{how} ({', '.join(said)})" if said else how


def _contradiction(evidence: Evidence, one: str, other: str) -> BadInputError:
  return BadInputError(
    evidence.path,
    "micrometres per pixel",
    f"{one} beside {other}",
    "the same length by both",
    "give positions in pixels of the full-size image; if they are that, say --um_per_px",
  )


def _pitch(evidence: Evidence) -> float | None:
  """By array coordinates, where they show a lattice whose pitch is known."""
  if evidence.array_positions is None or len(evidence.positions_px) < 4:
    return None
  rows, columns = evidence.array_positions.T
  if "bin_size_um" in evidence.scalefactors:
    nominal = np.stack([columns, rows], axis=1) * evidence.scalefactors["bin_size_um"]
  elif _is_visium(evidence):
    nominal = lattice.hexagonal(rows, columns, PITCH_UM)
  else:
    return None
  return lattice.um_per_px(nominal, evidence.positions_px, evidence.path)


def _stated(evidence: Evidence) -> float | None:
  return evidence.scalefactors.get("microns_per_pixel")


def _is_visium(evidence: Evidence, *, exchanged: bool = False) -> bool:
  """Rows of Visium are shifted by half a spot, and columns count half spots; on a checkerboard of
  an older array they do not."""
  if evidence.array_positions is None or "bin_size_um" in evidence.scalefactors:
    return False
  if not lattice.is_checkerboard(*evidence.array_positions.T):
    return False
  array = evidence.array_positions[:, ::-1] if exchanged else evidence.array_positions
  fit = array_fit.fitted(array, evidence.positions_px)
  return (fit is None and not exchanged) or (fit is not None and fit.is_hexagonal)


def _is_other(evidence: Evidence) -> bool:
  """The array is known not to be Visium's."""
  known = evidence.array_positions is not None or "bin_size_um" in evidence.scalefactors
  return known and not _is_visium(evidence)


def _neighbours(evidence: Evidence) -> float | None:
  """By the distance between spots, where they lie on a hexagonal lattice: Visium's is known."""
  if len(evidence.positions_px) < 20 or _is_other(evidence):
    return None
  distances = cKDTree(evidence.positions_px).query(evidence.positions_px, k=7)[0][:, 1:]
  first, sixth = np.quantile(distances[:, 0], 0.5), np.quantile(distances[:, 5], 0.25)
  if not (first > 0 and sixth <= _HEXAGONAL * first):
    return None
  return PITCH_UM / float(np.median(distances))


RULES: dict[str, Callable[[Evidence], float | None]] = {
  "lattice pitch": _pitch,
  "scalefactor microns_per_pixel": _stated,
  HEXAGONS: _neighbours,
}
"""The most exact first."""
