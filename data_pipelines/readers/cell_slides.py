"""Which slide each cell is of, in tables that hold several: every slide becomes a section.

Cells of several slides in one table lie on top of each other, or far apart on one canvas.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool

from data_pipelines.problems import BadInputError
from data_pipelines.readers import columns, one_slide
from data_pipelines.readers.metadata import Metadata, file_name
from data_pipelines.readers.source import SectionSource

_OF_SLIDES = frozenset((
  "slide", "slideid", "slidename", "runtissuename", "capturearea", "chip", "chipid", "libraryid",
))  # fmt: skip
"""Columns that name slides, whatever lies where; others of `one_slide.SLIDE_COLUMNS` may name
patients of one."""
_LOOKED_AT = 20_000
"""Of a million cells, those of which it is judged whether they lie among each other."""


@dataclasses.dataclass(frozen=True)
class Slide:
  """The rows of a table that are of one slide: those with `value` in `column`."""

  column: str
  value: str

  def holds(self, table: pd.DataFrame) -> Bool[np.ndarray, " row"]:
    """Its rows among some of the table."""
    return (table[self.column].astype(str) == self.value).to_numpy()


def divided(
  source: SectionSource, table: Path | None, place: Sequence[str], metadata: Metadata
) -> list[SectionSource]:
  """A section for each slide of a table of cells; the section itself where it is of one.

  Slides are told apart by `library_key`, else by a column that names slides, else by another of
  `one_slide.SLIDE_COLUMNS` if cells of different values lie among each other.

  Args:
    source: whose `load` takes `slide` and `notes`.
    table: of cells or transcripts.
    place: its columns of positions.

  Raises:
    BadInputError: no such column.
  """
  if table is None:
    return [source]
  slides, notes = _slides_in(table, place, source.entry.library_key)
  if not slides:
    return [dataclasses.replace(source, load=functools.partial(source.load, notes=notes))]
  return [_of_slide(source, slide, metadata) for slide in slides]


def _of_slide(source: SectionSource, slide: Slide, metadata: Metadata) -> SectionSource:
  """A slide is called as its table and its value; the table of sections may name either."""
  name = f"{source.section_id}_{slide.value}"
  entry = metadata.entry(name, source.path, source.path.parent)
  if entry.table is None:
    entry = dataclasses.replace(source.entry, section=file_name(name))
  section_id = file_name(entry.section)
  return dataclasses.replace(
    source,
    section_id=section_id,
    donor_id=entry.donor or section_id,
    entry=entry,
    load=functools.partial(source.load, slide=slide),
    other_names=(),
  )


def _slides_in(
  table: Path, place: Sequence[str], asked: str | None
) -> tuple[list[Slide], tuple[str, ...]]:
  """The slides of a table, none where it is of one; and what is to be said of it."""
  try:
    there = columns.names_in(table)
  except BadInputError:  # said when the section is read
    return [], ()
  if asked is not None and asked not in there:
    raise BadInputError(
      table, f"column {asked}", f"only {', '.join(there[:12])}", "a column of slides",
      "correct library_key",
    )  # fmt: skip
  for column in [asked] if asked else one_slide.columns_of(there):
    values, codes, positions = _read(table, column, place)
    if len(values) < 2:
      continue
    names_slides = re.sub(r"[^a-z0-9]", "", column.lower()) in _OF_SLIDES
    if asked or names_slides or one_slide.lie_among_each_other(positions, codes):
      return [Slide(column, value) for value in values], ()
    apart = (
      f"{column} has {len(values)} values ({', '.join(values[:3])}), whose cells lie apart: one "
      f"section, unless they are slides (--library_key={column})"
    )
    return [], (apart,)
  return [], ()


def _read(
  table: Path, column: str, place: Sequence[str]
) -> tuple[list[str], np.ndarray, np.ndarray]:
  """The values of a column; of some rows spread over the table the number of theirs, and where
  they lie."""
  values: dict[str, int] = {}
  codes, positions = [np.zeros(0, np.int64)], [np.zeros((0, 2))]
  try:
    axes = columns.chosen(table, *place)
    for part in columns.read(table, [column, *axes]):
      for value in part[column].astype(str).unique():
        values.setdefault(value, len(values))
      # Transcripts of a cell lie together: few of them, and of one place one, are told apart.
      some = part.drop_duplicates().iloc[:: max(1, len(part) // _LOOKED_AT)]
      codes.append(some[column].astype(str).map(values).to_numpy())
      positions.append(columns.numbers(some, axes, table))
  except BadInputError:  # said when the section is read
    return [], codes[0], positions[0]
  return list(values), np.concatenate(codes), np.concatenate(positions)
