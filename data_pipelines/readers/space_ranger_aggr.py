"""What `spaceranger aggr` writes: several slides in one matrix, read as the sections they are.

Barcodes end in the number of their slide, `-1`, `-2`, ...: its row in `aggregation.csv`.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from data_pipelines.problems import BadInputError
from data_pipelines.readers import space_ranger
from data_pipelines.readers.metadata import Metadata
from data_pipelines.readers.source import Reader, SectionSource
from data_pipelines.readers.space_ranger_files import Layout, layout_in, listing
from data_pipelines.text_files import read_table

_POSITIONS = ("aggr_tissue_positions.csv", "aggr_tissue_positions_list.csv")
_LIBRARIES = ("aggregation.csv", "aggregation_csv.csv")
_ID_COLUMNS = ("library_id", "sample_id")


def _find(path: Path, metadata: Metadata) -> list[SectionSource]:
  positions = _one_of(path, _POSITIONS)
  if positions is None:
    return []
  whole = layout_in(path)
  return [
    space_ranger.source_of(_of_slide(whole, positions, name, number), name, metadata)
    for number, name in enumerate(_libraries(path), 1)
  ]


READER = Reader(find=_find, holds="outputs of spaceranger aggr (aggr_tissue_positions.csv)")


def _libraries(path: Path) -> list[str]:
  """Names of the slides, in the order of their numbers.

  Raises:
    BadInputError: nothing says which number is which slide.
  """
  table = _one_of(path, _LIBRARIES)
  if table is None:
    raise BadInputError(
      path,
      "aggregation.csv",
      f"only {listing(path)}",
      "the table that says which barcodes are of which slide",
      "copy it from the output of spaceranger aggr, or give the output folders of the slides",
    )
  rows = read_table(table)
  column = next((name for name in _ID_COLUMNS if name in rows), None)
  if column is None:
    found = f"only {', '.join(rows.columns)}"
    raise BadInputError(table, "columns", found, "library_id", "copy it from the output again")
  return rows[column].tolist()


def _of_slide(whole: Layout, positions: Path, name: str, number: int) -> Layout:
  """The matrix of all slides with what is one's own: positions and image."""
  folder = whole.folder / "spatial" / name
  own = layout_in(folder) if folder.is_dir() else None
  return dataclasses.replace(
    whole,
    positions=positions,
    scalefactors=own.scalefactors if own else None,
    hires=own.hires if own else None,
    lowres=own.lowres if own else None,
    part=f"-{number}",
  )


def _one_of(path: Path, names: tuple[str, ...]) -> Path | None:
  places = (folder / name for name in names for folder in (path, path / "spatial"))
  return next((place for place in places if place.is_file()), None)
