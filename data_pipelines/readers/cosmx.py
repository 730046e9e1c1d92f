"""CosMx flat files: cells (or transcripts, where there are no cells) pooled to squares.

Positions are pixels, and instruments differ in what a pixel is: 0.18 um in the first data sets,
0.12028 um since. It comes from columns that say the same in millimetres, or from the user.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from data_pipelines.files import visible
from data_pipelines.problems import BadInputError
from data_pipelines.readers import cells, columns, count_table, lattice, one_slide
from data_pipelines.readers.cell_slides import Slide, divided
from data_pipelines.readers.metadata import Metadata
from data_pipelines.readers.names import source_at
from data_pipelines.readers.raw_counts import RawCounts
from data_pipelines.readers.source import Reader, SectionSource
from data_pipelines.section import Section

_FILE = re.compile(
  r"(?P<name>.*?)[_.-]?(?P<kind>exprmat|metadata|tx|fov_positions)_file\.(csv|parquet)(\.gz)?", re.I
)
_PLACE = (("CenterX_global_px", "CenterY_global_px"), ("CenterX_global_mm", "CenterY_global_mm"))
_KEY = ("fov", "cell_id", "cell")
"""What a cell is known by: its field of view and its number there, and maybe a name."""
_FOV = (("x_global_px", "y_global_px"), ("x_global_mm", "y_global_mm"))


def _find(path: Path, metadata: Metadata) -> list[SectionSource]:
  """The sections of a folder: files of one name in front are one section."""
  if not path.is_dir():
    return []
  found: dict[str, dict[str, Path]] = {}
  for file in visible(path):
    if file.is_file() and (m := _FILE.fullmatch(file.name)):
      found.setdefault(m["name"], {})[m["kind"].lower()] = file
  found = {name: files for name, files in found.items() if {"exprmat", "tx"} & set(files)}
  return [
    section for name, files in found.items() for section in _sources_of(path, name, files, metadata)
  ]


def _sources_of(
  path: Path, prefix: str, files: dict[str, Path], metadata: Metadata
) -> list[SectionSource]:
  used = ("exprmat", "metadata") if "exprmat" in files else ("tx",)
  source = source_at(
    path,
    metadata,
    reader="cosmx",
    files=[files.get(kind) for kind in (*used, "fov_positions")],
    load=functools.partial(_read_section, files=files),
    is_generic=cells.is_generic,
    name=prefix or None,
  )
  if "exprmat" in files:
    return divided(source, files.get("metadata"), _PLACE[0], metadata)
  return divided(source, files["tx"], _FOV[0], metadata)


READER = Reader(
  find=_find,
  holds="CosMx flat files (*_exprMat_file.csv and *_metadata_file.csv)",
  pools=True,
  divides=True,
)


def _read_section(
  source: SectionSource,
  files: dict[str, Path],
  slide: Slide | None = None,
  notes: tuple[str, ...] = (),
) -> Section:
  """Squares of cells, else of transcripts.

  Raises:
    BadInputError: a file is missing, damaged, or does not belong to the others, or nothing says how
      long a pixel is.
  """
  cells.refuse_image(source)
  um_per_px, how = _um_per_px(source, files)
  frame = cells.Frame(um_per_px_source=f"positions in micrometres ({um_per_px:.5g} a pixel, {how})")
  if "exprmat" not in files:
    found = cells.batches(files["tx"], "target", *_FOV[0], um=um_per_px, slide=slide)
    return cells.section_of_transcripts(source, cells.Transcripts(files["tx"], found), frame, notes)
  counts = files["exprmat"]
  if "metadata" not in files:
    raise BadInputError(
      counts, "cells", "no *_metadata_file.csv beside it", "the table of cells", "copy it there"
    )
  key = _key(counts, files["metadata"])
  names = ["cell_ID" if name == "cell_id" else name for name in key]
  places = cells.cell_table(files["metadata"], names, *_PLACE[0], um=um_per_px, slide=slide)
  return cells.section_of_cells(source, _inside_cells(counts, key), places, frame, notes)


def _names(path: Path) -> list[str]:
  """The first columns, which name a cell.

  Raises:
    BadInputError: they do not.
  """
  there = [name.lower() for name in columns.names_in(path)]
  telling = one_slide.columns_of(there)
  names = list(itertools.takewhile(lambda name: name in (*_KEY, *telling), there))
  if not set(_KEY[:2]) <= set(names):
    raise BadInputError(
      path,
      "header",
      ", ".join(there[:4]),
      "fov and cell_ID, then genes",
      "give the file as it was exported",
    )
  return names


def _key(counts: Path, table: Path) -> list[str]:
  """The columns by which the cells of both tables are known."""
  there = {name.lower() for name in columns.names_in(table)}
  return [name for name in _names(counts) if name in there or name in _KEY[:2]]


def _inside_cells(path: Path, key: Sequence[str]) -> Iterator[RawCounts]:
  """Counts of cells by their key; number 0 stands for what lies in no cell."""
  names = _names(path)
  for piece in count_table.pieces(path, names=len(names), join="\t"):
    parts = [dict(zip(names, row.split("\t"), strict=True)) for row in piece.spot_ids.tolist()]
    ids = np.array(["_".join(part[name] for name in key) for part in parts])
    inside = np.flatnonzero([part["cell_id"] != "0" for part in parts])
    yield dataclasses.replace(piece, counts=piece.counts[inside], spot_ids=ids[inside])


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
