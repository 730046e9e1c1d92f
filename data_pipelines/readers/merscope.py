"""MERSCOPE: cells (or transcripts, where there are no cells) pooled to squares.

Positions are micrometres. No H&E image is registered to them.
"""

from __future__ import annotations

import functools
from pathlib import Path

from data_pipelines.problems import BadInputError
from data_pipelines.readers import cells, columns, count_table
from data_pipelines.readers.cell_slides import Slide, divided
from data_pipelines.readers.metadata import Metadata
from data_pipelines.readers.names import source_at
from data_pipelines.readers.source import Reader, SectionSource
from data_pipelines.readers.space_ranger_files import first
from data_pipelines.section import Section

_COUNTS = ("cell_by_gene.csv", "cell_by_gene.csv.gz")
_CELLS = ("cell_metadata.csv", "cell_metadata.csv.gz", "cell_metadata.parquet")
_TRANSCRIPTS = (
  "detected_transcripts.csv", "detected_transcripts.csv.gz", "detected_transcripts.parquet"
)  # fmt: skip


def _find(path: Path, metadata: Metadata) -> list[SectionSource]:
  if not path.is_dir():
    return []
  counts, table = first(path, *_COUNTS), first(path, *_CELLS)
  transcripts = first(path, *_TRANSCRIPTS)
  if counts is None and transcripts is None:
    return []
  source = source_at(
    path,
    metadata,
    reader="merscope",
    files=(counts, table) if counts else (transcripts,),
    load=functools.partial(_read_section, counts=counts, table=table, transcripts=transcripts),
    is_generic=cells.is_generic,
  )
  place = ("center_x", "center_y") if counts else ("global_x", "global_y")
  return divided(source, table if counts else transcripts, place, metadata)


READER = Reader(
  find=_find,
  holds="MERSCOPE outputs (cell_by_gene.csv and cell_metadata.csv)",
  pools=True,
  divides=True,
)


def _read_section(
  source: SectionSource,
  counts: Path | None,
  table: Path | None,
  transcripts: Path | None,
  slide: Slide | None = None,
  notes: tuple[str, ...] = (),
) -> Section:
  """Squares of cells, else of transcripts.

  Raises:
    BadInputError: a file is missing, damaged, or does not belong to the others.
  """
  cells.refuse_image(source)
  if counts is None:
    found = cells.batches(transcripts, "gene", "global_x", "global_y", slide=slide)
    return cells.section_of_transcripts(source, cells.Transcripts(transcripts, found), notes=notes)
  if table is None:
    raise BadInputError(
      counts, "cells", "no table of cells beside it", " or ".join(_CELLS), "copy the file there"
    )
  # The first column holds the names, whatever it is called: nothing, EntityID, or X after R.
  name = columns.names_in(table)[0]
  places = cells.cell_table(table, [name], "center_x", "center_y", slide=slide)
  return cells.section_of_cells(source, count_table.pieces(counts), places, notes=notes)
