"""A table of counts as text, and a table of positions beside it, as many studies deposit them.

Rows may be spots or genes: the names of the positions tell which. Positions are pixels, unless
their columns say micrometres.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from data_pipelines.files import visible
from data_pipelines.problems import BadInputError
from data_pipelines.readers import joins, space_ranger
from data_pipelines.readers.annotated import places
from data_pipelines.readers.assembly import Positions, assemble
from data_pipelines.readers.count_table import read_counts, transposed
from data_pipelines.readers.metadata import Metadata
from data_pipelines.readers.names import source_at
from data_pipelines.readers.raw_counts import RawCounts
from data_pipelines.readers.source import Reader, SectionSource
from data_pipelines.readers.space_ranger_files import Layout, layout_in
from data_pipelines.readers.tissue_positions import NAMES_OF_XY, read_positions
from data_pipelines.section import Section
from data_pipelines.text_files import read_numbers, read_table

_ENDING = r"\.(csv|tsv|txt)(\.gz)?"
_COUNTS = re.compile(
  r"(?P<name>.*?)[_.-]?(raw_?)?(umi_?)?(counts?(_?(matrix|table))?|gene_?exp(ression)?|expression|"
  rf"expr|(count_?)?matrix|umis?|dge|stdata){_ENDING}", re.I,
)  # fmt: skip
_POSITIONS = re.compile(
  r"(?P<name>.*?)[_.-]?(tissue_positions(_list)?|(spot_?|spatial_?)?(positions?|coordinates?|coords?|"
  rf"locations?)|spots?){_ENDING}", re.I,
)  # fmt: skip
_MICROMETRES = (("x_um", "y_um"), ("x_micron", "y_micron"), ("x_microns", "y_microns"))
_ARRAY = (("array_row", "array_col"), ("row", "col"), ("row", "column"))
_IDS = ("barcode", "barcodes", "spot", "spot_id", "spots", "id", "cell", "")


@dataclasses.dataclass(frozen=True)
class Tables:
  """The two tables of a section, and what Space Ranger may have left beside them."""

  name: str
  folder: Path
  counts: Path
  positions: Path
  beside: Layout


def _find(path: Path, metadata: Metadata) -> list[SectionSource]:
  return [_source_of(tables, metadata) for tables in _tables_of(path)]


def _tables_of(path: Path) -> list[Tables]:
  """Pairs of tables of one name; a single pair may be called anything."""
  if not path.is_dir():
    return []
  counts, positions = (_named(path, pattern) for pattern in (_COUNTS, _POSITIONS))
  if not counts or not positions:
    return []
  beside = layout_in(path)
  if beside.h5 or beside.matrix_market:
    return []
  pairs = {name: (file, positions[name]) for name, file in counts.items() if name in positions}
  if not pairs and len(counts) == len(positions) == 1:
    (name, file), (place,) = next(iter(counts.items())), positions.values()
    pairs = {name: (file, place)}
  return [Tables(name, path, *files, beside) for name, files in pairs.items()]


def _named(path: Path, pattern: re.Pattern) -> dict[str, Path]:
  """What stands in front of the word that gives a table away -> the file."""
  files = [*visible(path), *visible(path / "spatial")]
  found = ((pattern.fullmatch(file.name), file) for file in files if file.is_file())
  return {match["name"]: file for match, file in found if match}


def _source_of(tables: Tables, metadata: Metadata) -> SectionSource:
  return source_at(
    tables.folder,
    metadata,
    reader="text_matrix",
    files=(tables.counts, tables.positions),
    load=functools.partial(_read_section, tables=tables),
    is_generic=space_ranger.is_generic,
    name=tables.name or None,
    checks=(lambda: _places(tables.positions), lambda: read_counts(tables.counts)),
  )


READER = Reader(find=_find, holds="tables of text (X_counts.csv and X_positions.csv, .tsv or .txt)")


@dataclasses.dataclass(frozen=True)
class Places:
  """What a table of positions says; pixels or micrometres, and the array where it is stated."""

  ids: np.ndarray
  positions: Float[np.ndarray, "spot 2"]
  array: Float[np.ndarray, "spot 2"] | None
  on_tissue: np.ndarray
  micrometres: bool


def _read_section(source: SectionSource, tables: Tables) -> Section:
  """The section of two tables.

  Raises:
    BadInputError: they do not belong together, counts are not raw, or nothing states a length.
  """
  entry, found = source.entry, _places(tables.positions)
  array = np.zeros((len(found.ids), 2)) if found.array is None else found.array
  positions = Positions(tables.positions, found.ids, *array.T, found.positions, found.on_tissue)
  raw = _spots_in_rows(read_counts(tables.counts), found.ids).cleaned(entry)
  um_per_px, how = entry.scale(lambda: _um_per_px(found, tables.positions))
  factors = space_ranger.read_scalefactors(tables.beside)
  image, image_scale = space_ranger.image_of(tables.beside, factors, entry)
  given = entry.path_of("labels")
  return assemble(
    source,
    raw=raw,
    every_spot_counted=len(raw.spot_ids) > int(found.on_tissue.sum()),
    positions=positions,
    um_per_px=um_per_px,
    um_per_px_source=how,
    image=image,
    image_scale=image_scale,
    labels=[joins.read_labels(given)] if given else [],
    notes=(*raw.notes, *source.donor_notes),
  )


def _spots_in_rows(raw: RawCounts, ids: np.ndarray) -> RawCounts:
  """The table with spots as rows: whichever side the positions name."""
  in_rows, in_columns = (
    (joins.match(names, ids)[0] >= 0).sum() for names in (raw.spot_ids, raw.gene_ids)
  )
  return transposed(raw) if in_columns > in_rows else raw


def _places(path: Path) -> Places:
  """The table of positions.

  Raises:
    BadInputError: no columns that name and place spots.
  """
  if "tissue_positions" in path.name.lower():
    known = read_positions(path)
    array = np.stack([known.rows, known.columns], axis=1).astype(float)
    return Places(known.ids, known.positions_px, array, known.on_tissue, False)
  table = read_table(path)
  table.columns = [str(name).strip().lower() for name in table.columns]
  in_um = _present(table, _MICROMETRES)
  axes, on_array = in_um or _present(table, NAMES_OF_XY), _present(table, _ARRAY)
  if axes is None or not len(table):
    raise BadInputError(
      path,
      "columns" if len(table) else "rows",
      ", ".join(table.columns) if len(table) else "none",
      "a name and a place of each spot: x and y in pixels, or x_um and y_um",
      "name the columns so",
    )
  name = next((name for name in _IDS if name in table), table.columns[0])
  on_tissue = np.ones(len(table), bool)
  if "in_tissue" in table:
    on_tissue = read_numbers(table, ["in_tissue"], path)["in_tissue"].to_numpy() == 1
  return Places(
    ids=table[name].to_numpy(str),
    positions=read_numbers(table, list(axes), path).to_numpy(),
    array=read_numbers(table, list(on_array), path).to_numpy() if on_array else None,
    on_tissue=on_tissue,
    micrometres=in_um is not None,
  )


def _present(table: pd.DataFrame, pairs: tuple[tuple[str, str], ...]) -> tuple[str, str] | None:
  return next((pair for pair in pairs if set(pair) <= set(table.columns)), None)


def _um_per_px(found: Places, path: Path) -> tuple[float, str]:
  if found.micrometres:
    return 1.0, "positions in micrometres"
  return places.um_per_px(places.Evidence(found.positions, found.array, {}, path))
