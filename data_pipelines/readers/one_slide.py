"""Two slides that were taken for one: their spots share places, or lie on two lattices inside each
other, as those of one never do."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from data_pipelines.problems import BadInputError
from data_pipelines.readers import array_fit
from data_pipelines.section import spacing

SEQUENCE = re.compile(r"[ACGT]{12,}", re.IGNORECASE)
"""The part of a barcode that is printed on the slide."""

SLIDE_COLUMNS = (
  "libraryid", "library", "sample", "sampleid", "samplename", "batch", "slide", "slideid",
  "slidename", "section", "sectionid", "capturearea", "dataset", "datasetid", "origident", "source",
  "image", "imageid", "imagename", "runtissuename", "tissueid", "specimen", "specimenid", "puck",
  "pucks", "chip", "chipid", "mouse", "mouseid", "animal", "animalid", "donor", "donorid",
  "patient", "patientid", "subject", "subjectid", "individual", "replicate", "replicateid",
)  # fmt: skip
"""Columns that may tell slides apart, where the spots show that there are several; letters and
digits alone, in small letters."""

_FEW, _FEW_OF_ALL = 2, 0.01
"""Spots that may share a place: real tables name single spots of an array twice."""

_MIXED = 0.2
"""Share of spots whose nearest is of another slide: pieces of tissue on one slide lie apart."""
_WIDEST, _GAP, _NEAR, _ALIKE = 120, 2, 0.1, 0.8
"""Pitches across the largest array (11 mm at 100 um), between slides that are drawn side by side,
and between two spots of one place; share of places that are those of another slide."""
_LEAST, _MOST = 20, 20_000
"""Spots of which a lattice is told; no array has more."""
_AROUND, _STEPS = 40, 12
"""Neighbours that are looked at, and steps: six of each of two hexagonal lattices."""
_REGULAR, _SAME, _PART = 1.1, 0.03, 0.2
"""How much farther the fourth neighbour is than the first; how much steps of a lattice differ; and
the least share of all spots that is a lattice of its own."""


def columns_of(names: Iterable[str]) -> list[str]:
  """The columns that are called as in `SLIDE_COLUMNS`, in its order."""
  called = {name: re.sub(r"[^a-z0-9]", "", str(name).lower()) for name in names}
  found = [name for name, plain in called.items() if plain in SLIDE_COLUMNS]
  return sorted(found, key=lambda name: SLIDE_COLUMNS.index(called[name]))


def lie_among_each_other(
  positions: Float[np.ndarray, "spot 2"], slides: Int[np.ndarray, " spot"]
) -> bool:
  """Whether spots of one number often have one of another number nearest."""
  if len(positions) < 3:
    return False
  nearest = cKDTree(positions).query(positions, k=2)[1]
  other = np.where(nearest[:, 0] == np.arange(len(nearest)), nearest[:, 1], nearest[:, 0])
  return bool((slides != slides[other]).mean() > _MIXED)


def sharing_a_place(
  array_positions: np.ndarray | None,
  positions_px: Float[np.ndarray, "spot 2"],
  spot_ids: Sequence[str] | np.ndarray,
  sections: Int[np.ndarray, " spot"] | None = None,
  *,
  as_is: bool = False,
) -> Bool[np.ndarray, " spot"]:
  """Spots whose place on the array, whose very point or whose barcode another spot of their section
  has too; all spots of a section that is two lattices inside each other.

  A barcode is a place on every slide of a design, whatever stands before or behind it.

  Args:
    array_positions: (row, column); None, or one place for all, where no array is known.
    sections: number of the section of each spot; None: one section.
    as_is: positions are right, whatever they look like: lattices are not looked for.
  """
  sections = np.zeros(len(positions_px), np.int64) if sections is None else sections
  shared = _repeated(sections, *positions_px.T)
  if is_array(array_positions):
    shared |= _repeated(sections, *np.round(array_positions).T)
  elif not as_is:
    for number in np.unique(sections):
      rows = np.flatnonzero(sections == number)
      shared[rows] |= are_two_lattices(positions_px[rows])
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
  if not is_array(array_positions) and are_two_lattices(positions_px):
    found = f"{len(shared)} spots on two lattices that lie inside each other"
    fix += f"; if it is one slide, add array_row and array_col, or say as_is, in {array_fit.SAY}"
    return BadInputError(path, "places of spots", found, "one lattice (two slides?)", fix)
  if is_array(array_positions):
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


def is_array(positions: np.ndarray | None) -> bool:
  """Whether places on an array are known."""
  return positions is not None and len(positions) > 0 and bool(np.ptp(positions, axis=0).any())


def is_lattice(positions: Float[np.ndarray, "spot 2"]) -> bool:
  """Whether spots lie on one hexagonal or square lattice: four neighbours are equally far."""
  if len(positions) < _LEAST:
    return False
  distances = cKDTree(positions).query(positions, k=5)[0]
  first = np.quantile(distances[:, 1], 0.5)
  return bool(first > 0 and np.quantile(distances[:, 4], 0.25) <= _REGULAR * first)


def lie_side_by_side(
  positions: Float[np.ndarray, "spot 2"], slides: Int[np.ndarray, " spot"]
) -> bool:
  """Whether spots of different numbers are the same places of one lattice, apart from each other,
  or lie farther apart than a slide is wide: slides were put beside each other to be drawn."""
  numbers = np.unique(slides)
  if len(numbers) < 2 or not is_lattice(positions):
    return False
  groups = [positions[slides == number] for number in numbers]
  trees = [cKDTree(group) for group in groups]
  pitch = spacing(positions)
  if np.ptp(positions, axis=0).max() > _WIDEST * pitch:
    return True
  for one, other in itertools.combinations(range(len(groups)), 2):
    if len(groups[other]) < _LEAST or trees[one].query(groups[other])[0].min() < _GAP * pitch:
      continue
    moved = groups[other] - groups[other].min(axis=0) + groups[one].min(axis=0)
    if (trees[one].query(moved)[0] < _NEAR * pitch).mean() > _ALIKE:
      return True
  return False


def are_two_lattices(positions: Float[np.ndarray, "spot 2"]) -> bool:
  """Whether spots lie on lattices inside each other, which are whole without the other.

  Steps from spot to spot that occur most often lead along a lattice, and never to the other one.
  """
  if not _LEAST <= len(positions) <= _MOST or is_lattice(positions):
    return False
  distances, neighbours = cKDTree(positions).query(positions, k=min(_AROUND, len(positions)))
  steps = positions[neighbours[:, 1:]] - positions[:, None]
  near = _SAME * float(np.median(distances[:, len(distances[0]) // 2]))
  common = _common(steps, near)
  one, other = np.nonzero(cKDTree(common).query(steps)[0] <= near)
  pairs = one, neighbours[one, other + 1]
  graph = coo_array((np.ones(len(one)), pairs), shape=(len(positions),) * 2).tocsr()
  graph = graph.multiply(graph @ graph > 1)  # by chance two meet, and no two of their neighbours
  parts = connected_components(graph, directed=False)[1]
  large = np.flatnonzero(np.bincount(parts) >= _PART * len(positions))
  lattices = [part for part in large if is_lattice(positions[parts == part])]
  # Measured spots are uneven: a lattice may break, into pieces that lie side by side.
  within = np.isin(parts, lattices)
  return len(lattices) > 1 and lie_among_each_other(positions[within], parts[within])


def _common(steps: Float[np.ndarray, "spot near 2"], near: float) -> Float[np.ndarray, "step 2"]:
  """The steps that occur most often; steps less than `near` apart are one."""
  some = steps[:: max(1, len(steps) // 500)].reshape(-1, 2)
  tried = steps[:: max(1, len(steps) // 100)].reshape(-1, 2)
  times = cKDTree(some).query_ball_point(tried, near, return_length=True)
  common: list[np.ndarray] = []
  for step in tried[np.argsort(-times)]:
    if all(np.linalg.norm(step - other) > near for other in common):
      common.append(step)
    if len(common) == _STEPS:
      break
  return np.array(common)


def _repeated(sections: np.ndarray, *places: Sequence | np.ndarray) -> Bool[np.ndarray, " spot"]:
  columns = dict(enumerate((sections, *places)))
  return pd.DataFrame(columns).duplicated(keep=False).to_numpy()
