"""CosMx flat files: cells (or transcripts, where there are no cells) pooled to squares.

Positions are pixels, and instruments differ in what a pixel is: 0.18 um in the first data sets,
0.12028 um since. It comes from columns that say the same in millimetres, or from the user.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from data_pipelines.problems import BadInputError
from data_pipelines.readers import cells, columns, count_table, lattice, one_slide
from data_pipelines.readers.metadata import Metadata
from data_pipelines.readers.names import source_at
from data_pipelines.readers.raw_counts import RawCounts
from data_pipelines.readers.source import Reader, SectionSource
from data_pipelines.section import Section

_FILE = re.compile(
  r"(?P<name>.*?)[_.-]?(?P<kind>exprmat|metadata|tx|fov_positions)_file\.(csv|parquet)(\.gz)?", re.I
)
_PLACE = (("CenterX_global_px", "CenterY_global_px"), ("CenterX_global_mm", "CenterY_global_mm"))
_FOV = (("x_global_px", "y_global_px"), ("x_global_mm", "y_global_mm"))


def _find(path: Path, metadata: Metadata) -> list[SectionSource]:
  """The sections of a folder: files of one name in front are one section."""
  if not path.is_dir():
    return []
  found: dict[str, dict[str, Path]] = {}
  for file in sorted(path.iterdir()):
    if file.is_file() and (m := _FILE.fullmatch(file.name)):
      found.setdefault(m["name"], {})[m["kind"].lower()] = file
  found = {name: files for name, files in found.items() if {"exprmat", "tx"} & set(files)}
  return [_source_of(path, name, files, metadata) for name, files in found.items()]


def _source_of(
  path: Path, prefix: str, files: dict[str, Path], metadata: Metadata
) -> SectionSource:
  used = ("exprmat", "metadata") if "exprmat" in files else ("tx",)
  return source_at(
    path,
    metadata,
    reader="cosmx",
    files=[files.get(kind) for kind in (*used, "fov_positions")],
    load=functools.partial(_read_section, files=files),
    is_generic=cells.is_generic,
    name=prefix or None,
  )


READER = Reader(
  find=_find, holds="CosMx flat files (*_exprMat_file.csv and *_metadata_file.csv)", pools=True
)


def _read_section(source: SectionSource, files: dict[str, Path]) -> Section:
  """Squares of cells, else of transcripts.

  Raises:
    BadInputError: a file is missing, damaged, or does not belong to the others, or nothing says how
      long a pixel is.
  """
  cells.refuse_image(source)
  um_per_px, how = _um_per_px(source, files)
  frame = cells.Frame(um_per_px_source=f"positions in micrometres ({um_per_px:.5g} a pixel, {how})")
  if "exprmat" not in files:
    transcripts = cells.Transcripts(files["tx"], _transcripts(files["tx"], um_per_px))
    return cells.section_of_transcripts(source, transcripts, frame)
  counts = files["exprmat"]
  if "metadata" not in files:
    raise BadInputError(
      counts, "cells", "no *_metadata_file.csv beside it", "the table of cells", "copy it there"
    )
  places = _cells(files["metadata"], um_per_px)
  return cells.section_of_cells(source, _inside_cells(counts), places, frame)


def _names(path: Path) -> list[str]:
  """The first columns, which name a cell.

  Raises:
    BadInputError: they do not.
  """
  there = [name.lower() for name in columns.names_in(path)]
  names = list(itertools.takewhile(lambda name: name in ("fov", "cell_id", "cell"), there))
  if not {"fov", "cell_id"} <= set(names):
    raise BadInputError(
      path,
      "header",
      ", ".join(there[:4]),
      "fov and cell_ID, then genes",
      "give the file as it was exported",
    )
  return names


def _inside_cells(path: Path) -> Iterator[RawCounts]:
  """Counts of cells by field of view and number; number 0 stands for what lies in no cell."""
  names = _names(path)
  for piece in count_table.pieces(path, names=len(names), join="\t"):
    parts = [dict(zip(names, row.split("\t"), strict=True)) for row in piece.spot_ids.tolist()]
    ids = np.array([f"{part['fov']}_{part['cell_id']}" for part in parts])
    inside = np.flatnonzero([part["cell_id"] != "0" for part in parts])
    yield dataclasses.replace(piece, counts=piece.counts[inside], spot_ids=ids[inside])


def _cells(path: Path, um_per_px: float) -> cells.Cells:
  names = columns.chosen(path, "fov", "cell_ID", *_PLACE[0])
  telling = one_slide.columns_of(columns.names_in(path))
  table = columns.read_all(path, [*names, *telling])
  positions_um = columns.numbers(table, names[2:], path) * um_per_px
  for column in telling:
    cells.refuse_several_slides(path, column, table[column], positions_um)
  ids = (table[names[0]].astype(str) + "_" + table[names[1]].astype(str)).to_numpy(str)
  return cells.Cells(path, ids, positions_um)


def _transcripts(
  path: Path, um_per_px: float
) -> Iterator[tuple[np.ndarray, Float[np.ndarray, "transcript 2"]]]:
  names = columns.chosen(path, "target", "x_global_px", "y_global_px")
  telling = one_slide.columns_of(columns.names_in(path))
  for table in columns.read(path, [*names, *telling]):
    positions_um = columns.numbers(table, names[1:], path) * um_per_px
    for column in telling:
      cells.refuse_several_slides(path, column, table[column], positions_um)
    yield table[names[0]].to_numpy(object), positions_um


def _um_per_px(source: SectionSource, files: dict[str, Path]) -> tuple[float, str]:
  """As given, else by a table that has the same places in pixels and in millimetres.

  Raises:
    BadInputError: neither; nothing else tells instruments apart.
  """
  if source.entry.um_per_px is not None:
    return source.entry.um_per_px, "given"
  for kind, (px, mm) in {"metadata": _PLACE, "fov_positions": _FOV}.items():
    if kind in files and set(px + mm) <= set(columns.names_in(files[kind])):
      table = columns.read_all(files[kind], [*px, *mm])
      values = columns.numbers(table, [*px, *mm], files[kind])
      if len(np.unique(values[:, :2], axis=0)) > 1:
        scale = lattice.um_per_px(values[:, 2:] * 1000, values[:, :2], files[kind])
        return scale, f"by {mm[0]}"
  raise BadInputError(
    files.get("metadata", files.get("tx", source.path)),
    "micrometres per pixel",
    "positions in pixels alone",
    f"{_PLACE[1][0]} beside {_PLACE[0][0]}, as later exports have it, or um_per_px",
    "say um_per_px: 0.12028 for most instruments, 0.18 for data of 2021 and 2022 (fields of view "
    "of 5472 x 3648 px)",
  )
