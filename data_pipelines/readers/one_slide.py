"""Two slides that were taken for one: their spots share places, as those of one never do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from data_pipelines.problems import BadInputError

SEQUENCE = re.compile(r"[ACGT]{12,}", re.IGNORECASE)
"""The part of a barcode that is printed on the slide."""

_FEW, _FEW_OF_ALL = 2, 0.01
"""Spots that may share a place: real tables name single spots of an array twice."""


def sharing_a_place(
  array_positions: np.ndarray | None,
  positions_px: Float[np.ndarray, "spot 2"],
  spot_ids: Sequence[str] | np.ndarray,
  sections: Int[np.ndarray, " spot"] | None = None,
) -> Bool[np.ndarray, " spot"]:
  """Spots whose place on the array, whose very point or whose barcode another spot of their section
  has too.

  A barcode is a place on every slide of a design, whatever stands before or behind it.

  Args:
    array_positions: (row, column); None, or one place for all, where no array is known.
    sections: number of the section of each spot; None: one section.
  """
  sections = np.zeros(len(positions_px), np.int64) if sections is None else sections
  shared = _repeated(sections, *positions_px.T)
  if _is_array(array_positions):
    shared |= _repeated(sections, *np.round(array_positions).T)
  barcodes = [SEQUENCE.search(str(spot)) for spot in spot_ids]
  if all(barcodes):
    shared |= _repeated(sections, [found[0].upper() for found in barcodes])
  return shared


def are_several(
  shared: Bool[np.ndarray, " spot"], sections: Int[np.ndarray, " spot"] | None = None
) -> bool:
  """Whether in one of the sections more spots share places than a slip explains."""
  sections = np.zeros(len(shared), np.int64) if sections is None else sections
  spots, found = np.bincount(sections), np.bincount(sections, shared)
  return bool((found > np.maximum(_FEW, _FEW_OF_ALL * spots)).any())


def refusal(
  path: Path,
  array_positions: np.ndarray | None,
  positions_px: Float[np.ndarray, "spot 2"],
  spot_ids: Sequence[str] | np.ndarray,
  shared: Bool[np.ndarray, " spot"],
  fix: str,
) -> BadInputError:
  """The error for a section that must be several; it names the places, and one of them."""
  row = int(shared.argmax())
  if _is_array(array_positions):
    places, what = np.round(array_positions), "row {:g}, column {:g}"
  else:
    places, what = positions_px, "x {:g}, y {:g}"
  number = len(np.unique(places[shared], axis=0))
  return BadInputError(
    path,
    "places of spots",
    f"{number} places that occur more than once among {len(shared)} spots, such as "
    + what.format(*places[row])
    + f" ({spot_ids[row]})",
    "each place once (two slides in one section?)",
    fix,
  )


def _is_array(positions: np.ndarray | None) -> bool:
  return positions is not None and len(positions) > 0 and bool(np.ptp(positions, axis=0).any())


def _repeated(sections: np.ndarray, *places: Sequence | np.ndarray) -> Bool[np.ndarray, " spot"]:
  columns = dict(enumerate((sections, *places)))
  return pd.DataFrame(columns).duplicated(keep=False).to_numpy()
