"""Sections in `.h5ad` files, read whole as every other platform's: for preparing a corpus.

To run a trained model over such a file without reading it whole, see `readers.annotated`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from data_pipelines.problems import BadInputError
from data_pipelines.readers import joins, placement, pooling
from data_pipelines.readers.annotated import contents, places, raw_matrix, slides
from data_pipelines.readers.annotated.sections import Choices, section_of
from data_pipelines.readers.assembly import Positions, assemble
from data_pipelines.readers.metadata import Entry, Metadata, file_name
from data_pipelines.readers.names import names_of
from data_pipelines.readers.raw_counts import RawCounts
from data_pipelines.readers.source import Reader, SectionSource
from data_pipelines.section import Section

SUFFIX = ".h5ad"
DONOR_COLUMNS = ("donor_id", "donor", "patient", "patient_id")
_TECHNICAL = frozenset(
  (*DONOR_COLUMNS, slides.LIBRARY_COLUMN, "in_tissue", "sample", "sample_id", "batch", "species")
)
_CLASSES = (2, 60)
"""A column of categories with as many of them counts as a label; with more, as a name."""


def _find(path: Path, metadata: Metadata) -> list[SectionSource]:
  """The sections of a file, by the names it gives them; only its table of spots is read.

  Raises:
    BadInputError: the file cannot be used.
  """
  if path.suffix != SUFFIX or not path.is_file():
    return []
  of_file = metadata.entry(path.stem, path.parent)
  with contents.opened(path) as found:
    names = slides.section_of_spots(found, of_file.library_key, of_file.positions)
    donors = _constant(found.obs, names, DONOR_COLUMNS)
  ids = list(dict.fromkeys(names.tolist()))
  if len(ids) > 1 and of_file.table and of_file.image:
    raise BadInputError(
      of_file.table,
      f"image of section {of_file.section}",
      f"one image for {len(ids)} sections ({', '.join(ids[:3])})",
      "a row for each section",
      "name the sections of the file in the table, with an image each",
    )
  return [_source_of(path, name, len(ids) == 1, donors.get(name), metadata) for name in ids]


def _source_of(
  path: Path, name: str, alone: bool, donor: str | None, metadata: Metadata
) -> SectionSource:
  """A section; the table may say something of it, or of the file that holds it."""
  names = names_of(path) if alone else [f"{one}_{name}" for one in names_of(path)]
  entry = metadata.entry(name, path.parent, also=names)
  of_file = metadata.entry(path.stem, path.parent)
  if entry.table is None and not alone:
    entry = dataclasses.replace(of_file, section=file_name(name))
  section_id = file_name(entry.section)
  return SectionSource(
    section_id=section_id,
    donor_id=entry.donor or donor or section_id,
    reader="anndata",
    path=path,
    files=(path,),
    entry=entry,
    load=functools.partial(_read_section, name=name, library_key=of_file.library_key),
    other_names=tuple(names),
    checks=(
      lambda: _looked_at(path, lambda found: _matrix(found, entry)),
      lambda: _looked_at(path, places.positions_px),
      lambda: _looked_at(path, lambda found: places.on_tissue(found.obs, path)),
    ),
  )


def _matrix(found: contents.Contents, said: Entry) -> raw_matrix.RawMatrix:
  return raw_matrix.find(found, said.layer, genome=said.genome, rounded=bool(said.round_counts))


def _looked_at(path: Path, part: Callable[[contents.Contents], object]) -> None:
  """
  Raises:
    BadInputError: this part of the file cannot be used.
  """
  with contents.opened(path) as found:
    part(found)


READER = Reader(
  find=_find, holds=".h5ad files", suffix=SUFFIX, pools=True, annotated=True, divides=True
)


def _read_section(source: SectionSource, name: str, library_key: str | None) -> Section:
  """One section of a file, its counts in memory; spots without counts are left out.

  Raises:
    BadInputError: no raw counts, no positions, no length, or parts that do not fit each other.
  """
  entry = source.entry
  with contents.opened(source.path) as found:
    rows = np.flatnonzero(slides.section_of_spots(found, library_key, entry.positions) == name)
    choices = Choices(
      layer=entry.layer,
      library_key=library_key,
      image=entry.path_of("image"),
      image_scale=entry.image_scale,
      um_per_px=entry.um_per_px,
      platform=entry.platform,
      without_image=entry.is_without_image,
    )
    alone = source.donor_id == source.section_id and entry.donor is None
    notes = ("no donor given: the section counts as its own donor",) if alone else ()
    return section_in(found, source, name, rows, choices, notes=notes)


def section_in(
  found: contents.Contents,
  source: SectionSource,
  name: str,
  rows: Int[np.ndarray, " spot"],
  choices: Choices,
  *,
  kept: Bool[np.ndarray, " spot"] | None = None,
  notes: tuple[str, ...] = (),
) -> Section:
  """The section of these rows of an open file.

  Args:
    kept: which of its spots are read; None: all of them.
    notes: what else is to be said of it.

  Raises:
    BadInputError: no raw counts, no positions, no length, or parts that do not fit each other.
  """
  matrix = _matrix(found, dataclasses.replace(source.entry, layer=choices.layer))
  choices = dataclasses.replace(choices, positions=source.entry.positions)
  spots = section_of(found, choices, matrix, name, rows)
  positions_px = spots.positions_px / spots.image_scale
  array = places.array_positions(found)
  if kept is not None:
    rows, positions_px = rows[kept], positions_px[kept]
  obs = found.obs.iloc[rows]
  ids = obs.index.to_numpy(str)
  raw = RawCounts(
    path=source.path,
    counts=matrix.stored(rows),
    spot_ids=ids,
    gene_ids=matrix.gene_ids,
    gene_symbols=matrix.gene_symbols,
    feature_types=np.full(len(matrix.gene_ids), ""),
    dropped=matrix.dropped,
  ).cleaned(Entry(round_counts=matrix.rounded))
  places_on_array = np.zeros((len(rows), 2)) if array is None else array[rows]
  section = assemble(
    source,
    raw=raw,
    every_spot_counted=False,
    positions=Positions(
      path=source.path,
      ids=ids,
      rows=places_on_array[:, 0],
      columns=places_on_array[:, 1],
      positions_px=positions_px,
      on_tissue=places.on_tissue(obs, source.path),
      dropped={} if kept is None else {"spots without a patch": int((~kept).sum())},
    ),
    um_per_px=spots.um_per_px * spots.image_scale,
    um_per_px_source=spots.um_per_px_source,
    image=spots.image,
    image_scale=spots.image_scale,
    labels=_labels(source, obs, ids),
    notes=(*spots.notes, *raw.notes, *notes),
    said=choices.positions if choices.positions != placement.SWAPPED else "",  # they are by now
  )
  section = dataclasses.replace(section, unused_images=spots.unused_images)
  pitch_um = source.entry.pitch_um
  return pooling.cells_said(section) if pitch_um is None else pooling.pooled(section, pitch_um)


def _labels(source: SectionSource, obs: pd.DataFrame, ids: np.ndarray) -> list[joins.LabelTable]:
  """The table that the metadata names, else the columns of categories."""
  path = source.entry.path_of("labels")
  if path is not None:
    return [joins.read_labels(path)]
  columns = {
    str(column): obs[column].astype(object).where(obs[column].notna(), "").to_numpy(str)
    for column in obs
    if isinstance(obs[column].dtype, pd.CategoricalDtype)
    and str(column).lower() not in _TECHNICAL
    and not str(column).startswith("hibio_")
    and _CLASSES[0] <= len(obs[column].cat.categories) <= _CLASSES[1]
  }
  return [joins.LabelTable(source.path, ids, columns)] if columns else []


def _constant(obs: pd.DataFrame, names: np.ndarray, columns: tuple[str, ...]) -> dict[str, str]:
  """Section -> the one value that the first of these columns has there."""
  column = next((c for c in columns if c in obs), None)
  if column is None:
    return {}
  values = obs[column].astype(str).groupby(names).agg(["nunique", "first"])
  return {name: row["first"] for name, row in values.iterrows() if row["nunique"] == 1}
