"""Sections of the first Spatial Transcriptomics arrays: 100 um spots, 200 um apart.

Spots are named by their array coordinates, `XxY`, and one folder holds many sections. Inner folders
are named as HER2ST's public repository names them, or plainly: counts, spots, images, pathologist;
of STNet and others all files lie beside each other.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

import numpy as np
import pandas as pd

from data_pipelines.problems import BadInputError
from data_pipelines.readers import joins, lattice
from data_pipelines.readers.assembly import Positions, assemble
from data_pipelines.readers.count_table import read_counts
from data_pipelines.readers.legacy_st_files import COUNTS, SPOTS, Layout, folder_of, layouts_of
from data_pipelines.readers.metadata import Entry, Metadata, file_name
from data_pipelines.readers.names import names_of
from data_pipelines.readers.source import Reader, SectionSource
from data_pipelines.section import Section
from data_pipelines.slide_image import SlideImage
from data_pipelines.text_files import read_numbers, read_table

PITCH_UM, SPOT_UM = 200.0, 100.0
_LETTER_AND_DIGIT = re.compile(r"[A-Z]\d{1,2}")
_OWN_LABELS = ("region", "label", "layer", "annotation")


def _source_of(layout: Layout, metadata: Metadata) -> SectionSource:
  """The section; a letter and a digit, as in HER2ST, name donor and section."""
  _, *others = names_of(layout.folder / layout.name, name=layout.name)
  entry = metadata.entry(layout.name, layout.folder, also=others)
  section_id = file_name(entry.section)
  letter = layout.name[0] if _LETTER_AND_DIGIT.fullmatch(layout.name) else ""
  return SectionSource(
    section_id=section_id,
    donor_id=entry.donor or layout.donor or letter or section_id,
    reader="legacy_st",
    path=layout.folder,
    files=layout.files(),
    entry=entry,
    load=functools.partial(_read_section, layout=layout),
    checks=(
      lambda: read_counts(layout.counts).cleaned(entry),
      lambda: _spots(layout),
      lambda: layout.labels and _pathologist(layout.labels),
      lambda: layout.image and SlideImage.open(layout.image),
    ),
    other_names=tuple(others),
  )


READER = Reader(
  find=lambda path, metadata: [_source_of(layout, metadata) for layout in layouts_of(path)],
  holds="legacy ST (counts and spots)",
  inner_folders=(*COUNTS, *SPOTS),
)


def _read_section(source: SectionSource, layout: Layout) -> Section:
  """One section of legacy ST.

  Raises:
    BadInputError: a file is missing, damaged, or does not belong to the others.
  """
  entry, notes = source.entry, []
  raw = read_counts(layout.counts).cleaned(entry)
  try:
    table, positions = _spots(layout)
  except BadInputError:
    if joins.twins(raw.spot_ids):  # of which repeated rows of positions are a consequence
      raise joins.no_overlap(layout.counts, "spots", raw.spot_ids, np.array([])) from None
    raise
  if entry.positions == "warped":
    positions = _warped(positions, layout)
    notes.append("positions as registered to another section of the donor")
  nominal = lattice.square(positions.rows, positions.columns, PITCH_UM)
  um_per_px, how = entry.scale(
    lambda: (
      lattice.um_per_px(nominal, positions.positions_px, positions.path),
      f"lattice pitch of {PITCH_UM:g} um",
    )
  )
  path = entry.image_or(layout.image)
  image = SlideImage.open(path, "full") if path else None
  if entry.donor is None:
    notes.append(
      "no donor given: the section counts as its own donor"
      if source.donor_id == source.section_id
      else f"no donor given: taken to be {source.donor_id}, by the section's name"
    )
  return assemble(
    source,
    raw=raw,
    every_spot_counted=True,
    positions=positions,
    um_per_px=um_per_px,
    um_per_px_source=how,
    image=image,
    image_scale=entry.image_scale,
    labels=_labels(entry, layout, table, positions),
    notes=(*raw.notes, *notes),
    spot_um=SPOT_UM,
  )


def _spots(layout: Layout) -> tuple[pd.DataFrame, Positions]:
  if layout.spots is None:
    raise BadInputError(
      layout.counts,
      "spots",
      f"no position file of section {layout.name}",
      f"{layout.name}_selection.tsv in {folder_of(layout.folder, SPOTS) or layout.folder}",
      "add the file",
    )
  table = _with_coordinates(read_table(layout.spots))
  return table, _positions(table, layout.spots)


def _with_coordinates(table: pd.DataFrame) -> pd.DataFrame:
  """STNet's tables name spots `XxY`, and call their pixels X and Y."""
  if not {"X", "Y"} <= set(table.columns) or "pixel_x" in table:
    return table
  x, _, y = table.iloc[:, 0].str.partition("x").to_numpy(str).T
  return pd.DataFrame({"x": x, "y": y, "pixel_x": table["X"], "pixel_y": table["Y"]})


def _positions(table: pd.DataFrame, path: Path) -> Positions:
  numbers = read_numbers(table, ["x", "y", "pixel_x", "pixel_y"], path)
  x, y = numbers["x"].to_numpy(), numbers["y"].to_numpy()
  ids = table["spot"].to_numpy(str) if "spot" in table else _keys(x, y)
  on_tissue = np.ones(len(ids), bool)
  if "selected" in table:
    on_tissue = read_numbers(table, ["selected"], path)["selected"].to_numpy() == 1
  return Positions(path, ids, y, x, numbers[["pixel_x", "pixel_y"]].to_numpy(), on_tissue)


def _keys(x: np.ndarray, y: np.ndarray) -> np.ndarray:
  whole = np.stack([np.round(x), np.round(y)], axis=1).astype(np.int64).tolist()
  return np.array([f"{a}x{b}" for a, b in whole], str)


def _warped(positions: Positions, layout: Layout) -> Positions:
  """The same spots where another section's image shows them; those that were not registered go."""
  if layout.clusters is None:
    raise BadInputError(
      layout.folder,
      "positions warped",
      f"no cluster file of {layout.name}",
      f"clusters/{layout.name}-cluster-annotation.tsv.gz",
      "add it, or use positions spots",
    )
  table = read_table(layout.clusters)
  numbers = read_numbers(table, ["x", "y", "warped_x", "warped_y"], layout.clusters)
  ids = _keys(numbers["x"].to_numpy(), numbers["y"].to_numpy())
  rows, _ = joins.match(positions.ids, ids)
  found = rows >= 0
  if not found.any():
    raise joins.no_overlap(layout.clusters, "warped positions", positions.ids, ids)
  warped = numbers[["warped_x", "warped_y"]].to_numpy()[rows[found]]
  lost = int((~found & positions.on_tissue).sum())
  return Positions(
    path=layout.clusters,
    ids=positions.ids[found],
    rows=positions.rows[found],
    columns=positions.columns[found],
    positions_px=warped,
    on_tissue=positions.on_tissue[found],
    dropped={"positions that were not registered": lost} if lost else {},
  )


def _labels(
  entry: Entry, layout: Layout, table: pd.DataFrame, positions: Positions
) -> list[joins.LabelTable]:
  path = entry.path_of("labels")
  if path is not None:
    return [joins.read_labels(path)]
  tables = []
  if layout.labels is not None:
    tables.append(_pathologist(layout.labels))
  own = {name: table[name].to_numpy(str) for name in _OWN_LABELS if name in table}
  if own and layout.spots == positions.path:
    tables.append(joins.LabelTable(positions.path, positions.ids, own))
  return tables


def _pathologist(path: Path) -> joins.LabelTable:
  """Labels by array coordinates that were corrected to fractions: they round to the spot.

  The pixel columns of these files are of another image and are not used.
  """
  table = read_table(path)
  if "label" not in table and len(table.columns) == 5:  # STNet's, whose header is off by one
    table.columns = ["", "x", "y", "tissue", "label"]
  if "label" not in table:
    raise BadInputError(
      path, "column label", f"only {', '.join(table.columns)}", "x, y, label", "add the column"
    )
  blank = ("", "nan", "na")
  empty = table["x"].str.lower().isin(blank) | table["y"].str.lower().isin(blank)
  filled = table[~empty]
  numbers = read_numbers(filled, ["x", "y"], path)
  ids = _keys(numbers["x"].to_numpy(), numbers["y"].to_numpy())
  dropped = {"labels without coordinates": int(empty.sum())} if empty.any() else {}
  return joins.LabelTable(path, ids, {"pathologist": filled["label"].to_numpy(str)}, dropped)
