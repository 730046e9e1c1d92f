"""Regular places on a slide without an array: what to read where only an image is given."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

Grid = tuple[Float[np.ndarray, "place 2"], Int[np.ndarray, "place 2"]]
"""((x, y) of each place, its (row, column))."""


def square(width: float, height: float, pitch: float) -> Grid:
  """Places `pitch` apart along both axes, centred on the slide; all lengths in one unit."""
  columns, rows = max(int(width // pitch), 1), max(int(height // pitch), 1)
  row, column = np.divmod(np.arange(rows * columns), columns)
  return _centred(column * pitch, row * pitch, width, height), np.stack([row, column], 1)


def hexagonal(width: float, height: float, pitch: float) -> Grid:
  """Every place has six neighbours at `pitch`; rows and columns are numbered as on Visium slides,
  where neighbours in a row are two columns apart."""
  rise = pitch * np.sqrt(0.75)
  columns, rows = max(int(width / pitch - 0.5), 1), max(int(height // rise), 1)
  row, number = np.divmod(np.arange(rows * columns), columns)
  column = 2 * number + row % 2
  return _centred(column * pitch / 2, row * rise, width, height), np.stack([row, column], 1)


GRIDS: dict[str, Callable[[float, float, float], Grid]] = {
  "hexagonal": hexagonal,
  "square": square,
}


def _centred(x: np.ndarray, y: np.ndarray, width: float, height: float) -> np.ndarray:
  return np.stack([x + (width - np.ptp(x)) / 2, y + (height - np.ptp(y)) / 2], axis=1)
