"""Cells, or single transcripts, as spots: what lies in one square of a chosen pitch is pooled.

A model of spots reads the sum of what a spot would have covered. Cells are pooled by their centres.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_matrix

from data_pipelines.problems import BadInputError
from data_pipelines.readers import columns, joins, pooling
from data_pipelines.readers.assembly import Positions, assemble
from data_pipelines.readers.cell_slides import Slide
from data_pipelines.readers.raw_counts import RawCounts
from data_pipelines.readers.source import SectionSource
from data_pipelines.section import Section
from data_pipelines.slide_image import SlideImage

GENERIC_NAMES = ("outs", "out", "output", "flatfiles", "analysisresults")

_HALF = 1 << 20
"""Squares either side of 0; with a number of a gene, three of them fill an int64."""


@dataclasses.dataclass(frozen=True)
class Frame:
  """How micrometres of the instrument become pixels, and the image whose pixels they are.

  Attributes:
    to_px: affine map of (x, y, 1) in micrometres; None: pixels are micrometres.
    um_per_px_source: where the scale comes from.
    image: H&E image, if one is known to lie on these pixels.
    image_scale: pixels of `image` per pixel of the frame.
  """

  to_px: Float[np.ndarray, "2 3"] | None = None
  um_per_px_source: str = "positions in micrometres"
  image: SlideImage | None = None
  image_scale: float = 1.0

  @property
  def um_per_px(self) -> float:
    return 1.0 if self.to_px is None else abs(np.linalg.det(self.to_px[:, :2])) ** -0.5

  def px(self, positions_um: Float[np.ndarray, "spot 2"]) -> Float[np.ndarray, "spot 2"]:
    if self.to_px is None:
      return positions_um
    return positions_um @ self.to_px[:, :2].T + self.to_px[:, 2]


MICROMETRES = Frame()


@dataclasses.dataclass(frozen=True)
class Cells:
  """Where cells lie; names and (x, y) in micrometres, in any order.

  Attributes:
    own: cells of the slide that is read; a table may hold several.
  """

  path: Path
  ids: np.ndarray
  positions_um: Float[np.ndarray, "cell 2"]
  own: Bool[np.ndarray, " cell"]

  def __post_init__(self):
    if not len(self.ids):
      raise BadInputError(self.path, "rows", "none", "a cell in each row", "copy the file again")
    index = pd.Index(self.ids)
    if not index.is_unique:
      twice = ", ".join(index[index.duplicated()][:3])
      raise BadInputError(
        self.path,
        "cells",
        f"names twice ({twice})",
        "each cell once",
        "remove the repeated rows"
        if self.own.all()
        else "give each slide's table of cells and of counts in a folder of its own",
      )


Batches = Iterator[tuple[np.ndarray, Float[np.ndarray, "transcript 2"]]]
"""Genes, and (x, y) in micrometres, of some transcripts at a time."""


@dataclasses.dataclass(frozen=True)
class Transcripts:
  """Where transcripts lie."""

  path: Path
  batches: Batches
  what: str = "transcripts"


def section_of_cells(
  source: SectionSource,
  pieces: Iterable[RawCounts],
  cells: Cells,
  frame: Frame = MICROMETRES,
  notes: tuple[str, ...] = (),
) -> Section:
  """The section whose spots are squares of cells.

  Args:
    pieces: counts of some cells each.

  Raises:
    BadInputError: counts are not raw, or of other cells.
  """
  pitch = pitch_um(source)
  own = np.flatnonzero(cells.own)
  squares = pooling.squares(*_squares_of(cells.positions_um[own], pitch, cells.path))
  of_cell = np.full(len(cells.ids), -1)
  of_cell[own] = squares.of_item
  index = pd.Index(cells.ids)
  items = pooling.Items(
    what="cells",
    path=cells.path,
    row_of=lambda ids: index.get_indexer(pd.Index(ids)),
    square=of_cell,
    ids=squares.ids,
    others="of other slides",
  )
  raw = pooling.summed(pieces, items)
  given = source.entry.path_of("labels")
  labels = [pooling.most_common(joins.read_labels(given), items)] if given else []
  note = f"{len(own):,} cells pooled to squares of {pitch:g} um"
  return _section(source, raw, squares.array, cells.path, frame, labels, (note, *notes))


def section_of_transcripts(
  source: SectionSource,
  transcripts: Transcripts,
  frame: Frame = MICROMETRES,
  notes: tuple[str, ...] = (),
) -> Section:
  """The section whose spots are squares of transcripts.

  Raises:
    BadInputError: there are none.
  """
  pitch = pitch_um(source)
  raw, array, number = _counted(transcripts, pitch)
  note = f"{number:,} transcripts pooled to squares of {pitch:g} um"
  return _section(source, raw, array, transcripts.path, frame, [], (note, *notes))


def pitch_um(source: SectionSource) -> float:
  """Side of the squares."""
  return source.entry.pitch_um or pooling.SPOT_UM


def refuse_image(source: SectionSource) -> None:
  """
  Raises:
    BadInputError: an image is named, and nothing says where the cells lie on it.
  """
  if (path := source.entry.path_of("image")) is not None:
    raise BadInputError(
      path,
      "registration",
      f"an image beside cells of {source.reader}, which state no place on it",
      "no image",
      "leave the column image empty: cells are read without one",
    )


def is_generic(name: str) -> bool:
  """Whether a folder is called as every output is."""
  return name.lower() in GENERIC_NAMES


def cell_table(
  path: Path,
  names: Sequence[str],
  x: str,
  y: str,
  *,
  um: float = 1.0,
  slide: Slide | None = None,
) -> Cells:
  """The cells of a table with columns that name them together, and two of centres.

  Args:
    um: micrometres of a unit of the centres.
    slide: that is read; None: the table is of one.

  Raises:
    BadInputError: columns are missing, or a centre is no number.
  """
  names, place = columns.chosen(path, *names), columns.chosen(path, x, y)
  telling = [slide.column] if slide else []
  table = columns.read_all(path, list(dict.fromkeys([*names, *place, *telling])))
  positions_um = columns.numbers(table, place, path) * um
  ids = table[names].astype(str).agg("_".join, axis=1).to_numpy(str)
  own = slide.holds(table) if slide else np.ones(len(table), bool)
  return Cells(path, ids, positions_um, own)


def batches(
  path: Path, gene: str, x: str, y: str, *, um: float = 1.0, slide: Slide | None = None
) -> Batches:
  """The transcripts of a table, as `cell_table` reads cells."""
  names = columns.chosen(path, gene, x, y)
  for table in columns.read(path, [*names, *([slide.column] if slide else [])]):
    own = table[slide.holds(table)] if slide else table
    yield own[names[0]].to_numpy(object), columns.numbers(own, names[1:], path) * um


def _section(
  source: SectionSource,
  raw: RawCounts,
  array: Int[np.ndarray, "square 2"],
  path: Path,
  frame: Frame,
  labels: list[joins.LabelTable],
  notes: tuple[str, ...],
) -> Section:
  raw = raw.cleaned(source.entry)
  pitch = pitch_um(source)
  if source.entry.um_per_px is not None and source.reader != "cosmx":
    notes += ("um_per_px is not used: positions are micrometres already",)
  return assemble(
    source,
    raw=raw,
    every_spot_counted=False,
    positions=Positions(
      path=path,
      ids=raw.spot_ids,
      rows=array[:, 0],
      columns=array[:, 1],
      positions_px=frame.px((array[:, ::-1] + 0.5) * pitch),
      on_tissue=np.ones(len(array), bool),
    ),
    um_per_px=frame.um_per_px,
    um_per_px_source=frame.um_per_px_source,
    image=frame.image,
    image_scale=frame.image_scale,
    labels=labels,
    notes=(*raw.notes, *notes, *source.donor_notes),
    spot_um=pitch,
  )


def _squares_of(
  positions_um: Float[np.ndarray, "item 2"], pitch: float, path: Path
) -> tuple[Int[np.ndarray, " item"], Int[np.ndarray, " item"]]:
  """(row, column) of the square that each item lies in."""
  place = np.floor(positions_um[:, ::-1] / pitch)
  if len(place) and np.abs(place).max() >= _HALF:
    furthest = f"{np.abs(positions_um).max():.3g} um from the origin"
    raise BadInputError(path, "positions", furthest, "tissue of some centimetres", "check the unit")
  return place[:, 0].astype(np.int64), place[:, 1].astype(np.int64)


def _counted(
  transcripts: Transcripts, pitch: float
) -> tuple[RawCounts, Int[np.ndarray, "square 2"], int]:
  """Counts of each square, its (row, column), and the number of transcripts."""
  genes: dict[str, int] = {}
  keys, counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
  for names, positions_um in transcripts.batches:
    codes, found = pd.factorize(names)
    codes = np.array([genes.setdefault(str(name), len(genes)) for name in found], np.int64)[codes]
    row, column = _squares_of(positions_um, pitch, transcripts.path)
    key = ((row + _HALF) << 41) | ((column + _HALF) << 20) | codes
    new, number = np.unique(key, return_counts=True)
    keys, place = np.unique(np.concatenate([keys, new]), return_inverse=True)
    counts = np.bincount(place, np.concatenate([counts, number])).astype(np.int64)
  if not len(keys):
    raise BadInputError(
      transcripts.path, transcripts.what, "none", "transcripts", "give the file as it was written"
    )
  squares = pooling.squares((keys >> 41) - _HALF, ((keys >> 20) & (2 * _HALF - 1)) - _HALF)
  matrix = csr_matrix(
    (counts, (squares.of_item, keys & (_HALF - 1))), shape=(len(squares), len(genes))
  )
  ids = np.array(list(genes))
  raw = RawCounts(transcripts.path, matrix, squares.ids, ids, ids, np.full(len(ids), ""))
  return raw, squares.array, int(counts.sum())
