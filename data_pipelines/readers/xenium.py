"""Xenium: cells (or transcripts, where there are no cells) pooled to squares.

Positions are micrometres. The H&E image that is registered to the cells lies beside the output,
with a 3 x 3 matrix that maps its pixels onto those of the morphology image.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from data_pipelines.files import visible
from data_pipelines.problems import BadInputError
from data_pipelines.readers import cells, columns, feature_barcode
from data_pipelines.readers.metadata import Entry, Metadata
from data_pipelines.readers.names import source_at
from data_pipelines.readers.source import Reader, SectionSource
from data_pipelines.readers.space_ranger_files import first
from data_pipelines.section import Section
from data_pipelines.slide_image import SlideImage
from data_pipelines.text_files import as_numbers, read_json, read_text, separator

PIXEL_UM = 0.2125
"""Of the morphology image, of every Xenium so far; experiment.xenium says it again."""

MIN_QV = 20.0
"""Transcripts that are less certain (Phred) are no counts, as in the vendor's own cell matrix."""

_CELLS = ("cells.parquet", "cells.csv.gz", "cells.csv")
_TRANSCRIPTS = ("transcripts.parquet", "transcripts.csv.gz", "transcripts.csv")


@dataclasses.dataclass(frozen=True)
class Layout:
  """Which file of an output is what; None where there is none."""

  folder: Path
  h5: Path | None
  matrix_market: Path | None
  cells: Path | None
  transcripts: Path | None
  experiment: Path | None
  image: Path | None
  alignment: Path | None

  @property
  def has_cells(self) -> bool:
    return self.cells is not None and (self.h5 or self.matrix_market) is not None

  def files(self) -> tuple[Path, ...]:
    """Every file the section is read from."""
    market = sorted(self.matrix_market.iterdir()) if self.matrix_market and not self.h5 else []
    counted = (self.h5, self.cells, *market) if self.has_cells else (self.transcripts,)
    parts = (*counted, self.experiment, self.image, self.alignment)
    return tuple(part for part in parts if part is not None)


def _layout_of(folder: Path) -> Layout | None:
  if not folder.is_dir():
    return None
  layout = Layout(
    folder=folder,
    h5=first(folder, "cell_feature_matrix.h5"),
    matrix_market=first(folder, "cell_feature_matrix", directory=True),
    cells=first(folder, *_CELLS),
    transcripts=first(folder, *_TRANSCRIPTS),
    experiment=first(folder, "experiment.xenium"),
    image=_beside(folder, "he_image.ome.tif", "he_image.tif"),
    alignment=_beside(folder, "he_imagealignment.csv"),
  )
  known = layout.experiment or layout.h5 or layout.matrix_market
  return layout if known else None


def _beside(folder: Path, *names: str) -> Path | None:
  """In the folder, or one above under its name: downloads unpack into a folder of their own."""
  if inside := first(folder, *names):
    return inside
  above = [path for name in names for path in visible(folder.absolute().parent, f"*{name}")]
  begun = [p for p in above if folder.name.startswith(re.sub(r"_?he_image.*", "", p.name))]
  return begun[0] if len(begun) == 1 else None


def _find(path: Path, metadata: Metadata) -> list[SectionSource]:
  layout = _layout_of(path)
  if layout is None:
    return []
  source = source_at(
    path,
    metadata,
    reader="xenium",
    files=layout.files(),
    load=functools.partial(_read_section, layout=layout),
    is_generic=cells.is_generic,
  )
  return [dataclasses.replace(source, checks=(lambda: _frame(layout, source.entry),))]


READER = Reader(
  find=_find, holds="Xenium outputs (cell_feature_matrix.h5 and cells.parquet)", pools=True
)


def _read_section(source: SectionSource, layout: Layout) -> Section:
  """Squares of cells, else of transcripts.

  Raises:
    BadInputError: a file is missing, damaged, or does not belong to the others.
  """
  frame, notes = _frame(layout, source.entry)
  if layout.has_cells:
    table = cells.cell_table(layout.cells, ["cell_id"], "x_centroid", "y_centroid")
    pieces = feature_barcode.pieces(layout.h5, layout.matrix_market)
    return cells.section_of_cells(source, pieces, table, frame, notes)
  if layout.transcripts is None:
    raise BadInputError(
      layout.folder,
      "cells",
      "a matrix without a table of cells" if layout.h5 or layout.matrix_market else "none",
      f"cell_feature_matrix.h5 and one of {', '.join(_CELLS)}, or one of {', '.join(_TRANSCRIPTS)}",
      "copy the missing file from the Xenium output",
    )
  transcripts = cells.Transcripts(
    layout.transcripts,
    _certain(layout.transcripts),
    f"transcripts of genes with qv of at least {MIN_QV:g}",
  )
  return cells.section_of_transcripts(source, transcripts, frame, notes)


def _certain(path: Path) -> Iterator[tuple[np.ndarray, Float[np.ndarray, "transcript 2"]]]:
  """Transcripts of genes that were read with certainty."""
  names = columns.chosen(path, "feature_name", "x_location", "y_location", "qv")
  marked = "is_gene" in columns.names_in(path)
  for table in columns.read(path, [*names, "is_gene"] if marked else names):
    values = columns.numbers(table, names[1:], path)
    kept = values[:, 2] >= MIN_QV
    if marked:
      kept &= _true(table["is_gene"])
    yield table[names[0]].to_numpy(object)[kept], values[kept, :2]


def _true(column: pd.Series) -> np.ndarray:
  return column.astype(str).str.lower().isin(("true", "1")).to_numpy()


def _frame(layout: Layout, entry: Entry) -> tuple[cells.Frame, tuple[str, ...]]:
  """The pixels of the H&E image, where it and its registration are known; else micrometres."""
  given = entry.path_of("image")
  path = entry.image_or(layout.image)
  if path is None:
    return cells.MICROMETRES, (
      "no H&E image beside the output: morphology images are fluorescence",
    )
  if layout.alignment is None:
    if given is None:
      note = f"{path.name} is not used: no *_he_imagealignment.csv says where the cells lie on it"
      return cells.MICROMETRES, (note,)
    raise BadInputError(
      path,
      "registration",
      "no *_he_imagealignment.csv beside the output",
      "the 3 x 3 matrix from its pixels to those of the morphology image",
      "export it from Xenium Explorer as X_he_imagealignment.csv into the folder, or name no image",
    )
  stated = read_json(layout.experiment).get("pixel_size") if layout.experiment else None
  pixel_um = PIXEL_UM if stated is None else as_numbers([str(stated)])[0]
  if not 0.05 <= pixel_um <= 5:
    raise BadInputError(
      layout.experiment, "pixel_size", repr(stated), "micrometres, e.g. 0.2125", "correct it"
    )
  from_morphology = np.linalg.inv(_matrix(layout.alignment))
  to_px = (from_morphology @ np.diag([1 / pixel_um, 1 / pixel_um, 1.0]))[:2]
  how = f"registration {layout.alignment.name} and {pixel_um:g} um per pixel of morphology"
  return cells.Frame(to_px, how, SlideImage.open(path, "full"), entry.image_scale), ()


def _matrix(path: Path) -> Float[np.ndarray, "3 3"]:
  lines = [line for line in read_text(path).split("\n") if line.strip()]
  rows = [as_numbers(line.split(separator(line))) for line in lines]
  matrix = np.stack(rows) if len({len(row) for row in rows}) == 1 else np.zeros((0, 0))
  right = matrix.shape == (3, 3) and np.isfinite(matrix).all()
  if (
    not right
    or not np.allclose(matrix[2], [0, 0, 1])
    or not 1e-4 < abs(np.linalg.det(matrix)) < 1e4
  ):
    raise BadInputError(
      path,
      "matrix",
      f"{len(lines)} lines, the first {lines[0][:40]!r}" if lines else "nothing",
      "3 x 3 numbers, the last row 0, 0, 1",
      "export the registration again from Xenium Explorer",
    )
  return matrix
