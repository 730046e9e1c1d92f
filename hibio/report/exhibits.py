"""What a report shows beside its numbers: tissue, maps, confusions and retrieved spots as arrays.

Nothing here knows a model or a corpus, so whatever can fill these fields can be shown.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from data_pipelines.section import spacing

NO_GROUP = ("", "-1", "nan")
"""Groups that say that a spot belongs to none."""

_DISC_SHARE = 0.92
"""Diameter of a disc over the distance between neighbouring spots."""


@dataclasses.dataclass(frozen=True)
class Tissue:
  """A section as it is drawn.

  Attributes:
    pixels: a small picture of the H&E, its top left corner at (0, 0) um; None where there is none.
    um_per_px: of that picture.
    positions_um: spot centres in the frame of the picture; x right, y down.
  """

  section_id: str
  donor_id: str
  pixels: UInt8[np.ndarray, "height width 3"] | None
  um_per_px: float
  positions_um: Float[np.ndarray, "spot 2"]

  @functools.cached_property
  def spot_um(self) -> float:
    """Diameter of the disc that stands for a spot; of a single spot, for 100 um between spots."""
    found_um = spacing(self.positions_um)
    return _DISC_SHARE * (100.0 if found_um is None else found_um)


@dataclasses.dataclass(frozen=True)
class GroupMap:
  """The group of each spot: a label, a domain, a region, a probe's answer.

  Attributes:
    groups: section id -> a name a spot, in the order of its `Tissue`; one of `NO_GROUP` for none.
    figures: section id -> what was measured there, in words ("ARI 0.41").
    classes: names in the order of their colours, shared with other maps; empty for groups whose
      colours only tell neighbours apart.
  """

  title: str
  groups: Mapping[str, np.ndarray]
  figures: Mapping[str, str] = dataclasses.field(default_factory=dict)
  classes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class ValueMap:
  """A value of each spot.

  Attributes:
    unit: what the numbers are.
    values: section id -> a value a spot; not-a-number where there is none.
    figures: section id -> what was measured there, in words ("r 0.41").
  """

  title: str
  unit: str
  values: Mapping[str, Float[np.ndarray, " spot"]]
  figures: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class MapRow:
  """Maps that belong side by side, e.g. measured beside predicted; one line of panels a section.

  Attributes:
    task: the task it is shown under.
    explanation: what is seen, and how what is shown was chosen.
  """

  task: str
  title: str
  explanation: str
  maps: Sequence[GroupMap | ValueMap]


@dataclasses.dataclass(frozen=True)
class Confusion:
  """How often each true class (row) was called each class (column)."""

  task: str
  title: str
  classes: tuple[str, ...]
  matrix: Int[np.ndarray, "true called"]


@dataclasses.dataclass(frozen=True)
class Hit:
  """A retrieved spot.

  Attributes:
    cosine: of its profile with the query's patch.
    distance_um: to the query; None in another section.
    keywords: its keyword genes, strongest first.
    is_query: the query's own profile.
  """

  patch: UInt8[np.ndarray, "height width 3"]
  section_id: str
  cosine: float
  distance_um: float | None
  keywords: tuple[str, ...]
  is_query: bool


@dataclasses.dataclass(frozen=True)
class Retrieval:
  """A patch that looks for its own expression profile, and what it found first.

  Attributes:
    rank: of its own profile; 1 is first.
    gallery: how many profiles were searched.
    keywords: keyword genes of its own profile, strongest first.
  """

  patch: UInt8[np.ndarray, "height width 3"]
  section_id: str
  rank: int
  gallery: int
  keywords: tuple[str, ...]
  hits: tuple[Hit, ...]


@dataclasses.dataclass(frozen=True)
class Chart:
  """A drawing that is no map.

  Attributes:
    task: the task it is shown under.
    explanation: what is seen, and how what is shown was chosen.
    png: the picture.
  """

  task: str
  title: str
  explanation: str
  png: bytes


@dataclasses.dataclass(frozen=True)
class Listing:
  """A table of things that have no row of results, such as single gene sets."""

  task: str
  title: str
  header: tuple[str, ...]
  lines: tuple[tuple[str, ...], ...]
  explanation: str = ""


@dataclasses.dataclass(frozen=True)
class Absent:
  """Something that a reader would look for and that is not shown, and why."""

  task: str
  title: str
  reason: str


@dataclasses.dataclass(frozen=True)
class Exhibits:
  """Everything that is shown beside the rows.

  Attributes:
    tissues: the sections that every map is drawn on.
    curves: lines of `metrics.jsonl`; empty for none.
    retrievals_explained: how the examples were drawn.
  """

  tissues: tuple[Tissue, ...] = ()
  map_rows: tuple[MapRow, ...] = ()
  confusions: tuple[Confusion, ...] = ()
  retrievals: tuple[Retrieval, ...] = ()
  retrievals_explained: str = ""
  curves: tuple[Mapping[str, Any], ...] = ()
  absent: tuple[Absent, ...] = ()
  charts: tuple[Chart, ...] = ()
  listings: tuple[Listing, ...] = ()

  def __post_init__(self):
    """Every map has one entry a spot of every section that it is drawn on."""
    spots = {tissue.section_id: len(tissue.positions_um) for tissue in self.tissues}
    for row in self.map_rows:
      for one in row.maps:
        content = one.groups if isinstance(one, GroupMap) else one.values
        for section_id, entries in content.items():
          if len(entries) != spots.get(section_id):
            raise ValueError(
              f"{row.title}, {one.title}, {section_id}: {len(entries)} entries,"
              f" {spots.get(section_id)} spots"
            )
