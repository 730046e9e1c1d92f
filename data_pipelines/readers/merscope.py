"""MERSCOPE: cells (or transcripts, where there are no cells) pooled to squares.

Positions are micrometres. No H&E image is registered to them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from data_pipelines.problems import BadInputError
from data_pipelines.readers import cells, columns, count_table
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
  return [source]


READER = Reader(
  find=_find, holds="MERSCOPE outputs (cell_by_gene.csv and cell_metadata.csv)", pools=True
)


def _read_section(
  source: SectionSource, counts: Path | None, table: Path | None, transcripts: Path | None
) -> Section:
  """Squares of cells, else of transcripts.

  Raises:
    BadInputError: a file is missing, damaged, or does not belong to the others.
  """
  cells.refuse_image(source)
  if counts is None:
    return cells.section_of_transcripts(
      source, cells.Transcripts(transcripts, _transcripts(transcripts))
    )
  if table is None:
    raise BadInputError(
      counts, "cells", "no table of cells beside it", " or ".join(_CELLS), "copy the file there"
    )
  # The first column holds the names, whatever it is called: nothing, EntityID, or X after R.
  places = cells.cell_table(table, columns.names_in(table)[0], "center_x", "center_y")
  return cells.section_of_cells(source, count_table.pieces(counts), places)


def _transcripts(path: Path) -> Iterator[tuple[np.ndarray, Float[np.ndarray, "transcript 2"]]]:
  names = columns.chosen(path, "gene", "global_x", "global_y")
  for table in columns.read(path, names):
    yield table[names[0]].to_numpy(object), columns.numbers(table, names[1:], path)
