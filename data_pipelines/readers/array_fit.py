"""Where an array puts its spots, beside where they are said to lie.

An image shifts, turns and scales an array. It does not mirror it, and spots that are neighbours on
the array stay neighbours: a row of a table that slipped, or was sorted on its own, breaks that.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Num
from scipy.spatial import cKDTree

from data_pipelines.problems import BadInputError

SAY = "column positions of the metadata table, or by --positions"
"""Where users say what positions mean; see `readers.placement`."""
_TRIALS = 200
_MOST_SPOTS = 20_000
_MOST_MEASURED = 1500
_NEAR = 1.2
"""Pitches to a neighbour; the next ones are 1.4 away or more."""
_APART = 0.7
"""Pitches by which the way to a neighbour may differ: half a pitch where columns of a hexagonal
array are counted without the shift of odd rows; on 55 real sections less."""
_MOST_APART = 0.004
"""A table of 128 rows that slips by one spot tears 0.9 % of the pairs."""
_REGULAR = (1.0, np.sqrt(3.0))
"""A row by a column: on square arrays, and on hexagonal ones, whose columns count half spots."""
_UNEVEN = 1.05


class ArrayFit(NamedTuple):
  """(x, y) = (column, row) @ `matrix` + `offset`, by most of the spots.

  Attributes:
    matrix: pixels a column and a row.
    offset: pixel of column 0 and row 0.
    pitch_px: from a spot to the nearest one.
    off: how far each spot lies from its place, in pitches.
  """

  matrix: Float[np.ndarray, "2 2"]
  offset: Float[np.ndarray, "2"]
  pitch_px: float
  off: Float[np.ndarray, "spot 2"]

  @property
  def mirrors(self) -> bool:
    return bool(np.linalg.det(self.matrix) < 0)

  @property
  def is_hexagonal(self) -> bool:
    """Whether a row is as long as on hexagonal arrays, whose columns count half spots."""
    column, row = np.linalg.norm(self.matrix, axis=1)
    return bool(row / column > 3.0**0.25)

  @property
  def swaps(self) -> bool:
    """Whether columns run down rather than across."""
    (column_x, column_y), (row_x, row_y) = np.abs(self.matrix)
    return bool(column_y + row_x > column_x + row_y)


def fitted(
  array_positions: Num[np.ndarray, "spot 2"], positions_px: Float[np.ndarray, "spot 2"]
) -> ArrayFit | None:
  """The map that most spots agree on; None where they lie on a line, or are too few.

  It has the least median of residuals among maps through three spots each, and is then refined on
  the spots that it fits.

  References:
    Rousseeuw 1984, doi:10.1080/01621459.1984.10477105.
  """
  design = np.concatenate([array_positions[:, ::-1], np.ones((len(array_positions), 1))], axis=1)
  if len(design) < 4 or np.linalg.matrix_rank(design) < 3:
    return None
  rng = np.random.default_rng(0)
  triplets = rng.integers(0, len(design), (_TRIALS, 3))
  independent = np.abs(np.linalg.det(design[triplets])) > 1e-9
  if not independent.any():
    return None
  maps = np.linalg.solve(design[triplets[independent]], positions_px[triplets[independent]])
  some = slice(None, None, max(1, len(design) // _MOST_MEASURED))
  residuals = np.linalg.norm(design[some] @ maps - positions_px[some], axis=-1)
  best = maps[np.median(residuals, axis=1).argmin()]
  for _ in range(5):
    residual = np.linalg.norm(design @ best - positions_px, axis=1)
    best = np.linalg.lstsq(
      *(part[residual <= 3 * np.median(residual) + 1e-9] for part in (design, positions_px)),
      rcond=None,
    )[0]
  placed = design @ best
  nearest = cKDTree(np.unique(placed[:_MOST_SPOTS].round(6), axis=0))
  pitch_px = float(np.median(nearest.query(nearest.data, k=2)[0][:, 1]))
  return ArrayFit(best[:2], best[2], pitch_px, (positions_px - placed) / pitch_px)


def check_handedness(fit: ArrayFit, mirrored: bool, file: Path) -> None:
  """
  Args:
    mirrored: the platform counts columns to the left where rows run down, as Visium HD does.

  Raises:
    BadInputError: the array is the mirror image of how its platform prints and counts it.
  """
  if fit.mirrors == mirrored:
    return
  (column_x, column_y), (row_x, row_y) = fit.matrix
  exchanged = "x and y seem exchanged: say swapped"
  reversed_ = (
    "count array_row or array_col the other way if it was reversed, or mirror the positions back "
    "if they were; if the image was mirrored on purpose, say as_is"
  )
  raise BadInputError(
    file,
    "positions",
    f"a mirror image of the array (a column to ({column_x:+.3g}, {column_y:+.3g}) px, a row to "
    f"({row_x:+.3g}, {row_y:+.3g}) px: {'positive' if mirrored else 'negative'} determinant)",
    "the array as it is printed, shifted and turned",
    f"{exchanged if fit.swaps else reversed_}, in {SAY}",
  )


def notes_on(fit: ArrayFit) -> tuple[str, ...]:
  """What a careful user should know of a fit."""
  notes = []
  if aside := int((np.abs(fit.off).max(axis=1) > _APART).sum()):
    notes.append(
      f"{aside} spots lie about a pitch beside their array places, in pieces that hold together"
    )
  column, row = np.linalg.norm(fit.matrix, axis=1)
  stretch = min(abs(np.log(row / column / regular)) for regular in _REGULAR)
  if stretch > np.log(_UNEVEN):
    notes.append(f"positions are stretched {np.exp(stretch):.2f} times along one axis of the array")
  return tuple(notes)


def check_neighbours(fit: ArrayFit, array_positions: Num[np.ndarray, "spot 2"], file: Path) -> None:
  """
  Raises:
    BadInputError: spots that are neighbours on the array lie apart.
  """
  order = np.lexsort(array_positions.T)[:_MOST_SPOTS]
  places = array_positions[order][:, ::-1] @ fit.matrix
  pairs = cKDTree(places).query_pairs(_NEAR * fit.pitch_px, output_type="ndarray")
  differ = fit.off[order[pairs[:, 0]]] - fit.off[order[pairs[:, 1]]]
  torn = int((np.linalg.norm(differ, axis=1) > _APART).sum())
  if torn > max(3, _MOST_APART * len(pairs)):
    raise BadInputError(
      file,
      "positions",
      f"{torn:,} of {len(pairs):,} pairs of spots that are neighbours by array_row and array_col "
      "and not by their pixels",
      "array places and pixels of the same spots",
      "check whether the rows of one table were sorted, shifted or shuffled on their own",
    )
