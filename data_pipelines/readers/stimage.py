"""STimage-1K4M: folders `coord`, `gene_exp` and `image` for each technology, one file a slide.

Coordinates are y first, in pixels of the image, and nothing states the length of a pixel: it comes
from the pitch of the array, which the radius of a spot must agree with.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from pathlib import Path

import numpy as np

from data_pipelines.files import visible
from data_pipelines.problems import BadInputError
from data_pipelines.readers import columns, joins, lattice
from data_pipelines.readers.annotated import places
from data_pipelines.readers.assembly import Positions, assemble
from data_pipelines.readers.count_table import read_counts
from data_pipelines.readers.metadata import Entry, Metadata
from data_pipelines.readers.names import source_at
from data_pipelines.readers.source import Reader, SectionSource
from data_pipelines.section import VISIUM_SPOT_UM, Section
from data_pipelines.slide_image import SlideImage
from data_pipelines.text_files import read_table

_COORD = re.compile(r"(.+)_coord\.csv(\.gz)?")
_PLACE = re.compile(r"(\d+)x(\d+)$")
_BIN = re.compile(r"s_(\d{3})um_(\d{5})_(\d{5})")
_ST_PITCH_UM, _ST_SPOT_UM = 200.0, 100.0
_RADIUS_TOLERANCE = 0.25
"""Visium's radius is that of 55 um or of 65 um; a factor of two is another array."""


@dataclasses.dataclass(frozen=True)
class Layout:
  """The files of one slide; None where there is none."""

  name: str
  folder: Path
  coord: Path
  counts: Path | None
  image: Path | None
  labels: Path | None

  def files(self) -> tuple[Path, ...]:
    """Every file the section is read from."""
    parts = (self.coord, self.counts, self.image, self.labels)
    return tuple(part for part in parts if part is not None)


@dataclasses.dataclass(frozen=True)
class Array:
  """Where spots lie on the array, and how wide they are; one row a spot."""

  rows: np.ndarray
  columns: np.ndarray
  um_per_px: float
  source: str
  spot_um: float


def _find(path: Path, metadata: Metadata) -> list[SectionSource]:
  if not (path / "coord").is_dir() or not (path / "gene_exp").is_dir():
    return []
  names = {m[1]: p for p in visible(path / "coord") if (m := _COORD.fullmatch(p.name))}
  return [_source_of(_layout(path, name, coord), metadata) for name, coord in names.items()]


def _layout(path: Path, name: str, coord: Path) -> Layout:
  def there(*options: Path) -> Path | None:
    return next((option for option in options if option.is_file()), None)

  counts = path / "gene_exp" / f"{name}_count.csv"
  images = (path / "image" / f"{name}{suffix}" for suffix in (".png", ".jpg", ".tif"))
  labels = path.parent / "annotation" / f"{name}_anno.csv"
  return Layout(
    name, path, coord, there(counts, Path(f"{counts}.gz")), there(*images), there(labels)
  )


def _source_of(layout: Layout, metadata: Metadata) -> SectionSource:
  return source_at(
    layout.folder,
    metadata,
    reader="stimage",
    files=layout.files(),
    load=functools.partial(_read_section, layout=layout),
    name=layout.name,
    checks=(
      lambda: _counts(layout),
      lambda: _coordinates(layout.coord),
      lambda: layout.image and SlideImage.open(layout.image),
    ),
  )


READER = Reader(
  find=_find, holds="STimage-1K4M (coord and gene_exp)", inner_folders=("coord", "gene_exp")
)


def _read_section(source: SectionSource, layout: Layout) -> Section:
  """One slide.

  Raises:
    BadInputError: a file is missing, damaged, or does not belong to the others.
  """
  entry = source.entry
  raw = _counts(layout).cleaned(entry)
  ids, positions_px, radius_px = _coordinates(layout.coord)
  array = _array(ids, positions_px, layout.coord, entry)
  _check_radius(radius_px, array, layout.coord)
  path = entry.image_or(layout.image)
  labels = entry.path_of("labels") or layout.labels
  notes = () if entry.donor else ("no donor given: slides of one donor share no name here",)
  return assemble(
    source,
    raw=raw,
    every_spot_counted=False,
    positions=Positions(
      layout.coord, ids, array.rows, array.columns, positions_px, np.ones(len(ids), bool)
    ),
    um_per_px=array.um_per_px,
    um_per_px_source=array.source,
    image=SlideImage.open(path, "full") if path else None,
    image_scale=entry.image_scale,
    labels=[joins.read_labels(labels)] if labels else [],
    notes=(*raw.notes, *notes),
    spot_um=array.spot_um,
  )


def _counts(layout: Layout):
  if layout.counts is None:
    raise BadInputError(
      layout.coord,
      "counts",
      f"no gene_exp/{layout.name}_count.csv",
      "counts of the slide",
      "add the file, or leave out its coordinates",
    )
  return read_counts(layout.counts)


def _coordinates(path: Path) -> tuple[np.ndarray, np.ndarray, float]:
  """Names of the spots, (x, y) in pixels, and the radius of a spot in pixels."""
  table = read_table(path)
  names = columns.chosen(path, "xaxis", "yaxis", "r")
  values = columns.numbers(table, names, path)
  if not len(values):
    raise BadInputError(path, "rows", "none", "a spot in each row", "copy the file again")
  return table.iloc[:, 0].to_numpy(str), values[:, :2], float(np.median(values[:, 2]))


def _array(ids: np.ndarray, positions_px: np.ndarray, path: Path, entry: Entry) -> Array:
  """By the names of the spots: `XxY` of the first arrays, bins of Visium HD, else barcodes."""

  def by(nominal: np.ndarray, how: str) -> tuple[float, str]:
    return entry.scale(lambda: (lattice.um_per_px(nominal, positions_px, path), how))

  if all(found := [_PLACE.search(name) for name in ids]):
    x, y = np.array([[int(number) for number in m.groups()] for m in found]).T
    nominal = lattice.square(y, x, _ST_PITCH_UM)
    return Array(y, x, *by(nominal, "lattice pitch of 200 um"), _ST_SPOT_UM)
  if all(found := [_BIN.search(name) for name in ids]):
    um, rows, across = np.array([[int(number) for number in m.groups()] for m in found]).T
    nominal = np.stack([across, rows], axis=1) * float(um[0])
    return Array(rows, across, *by(nominal, f"bins of {um[0]} um"), float(um[0]))
  evidence = places.Evidence(positions_px, None, {}, path)
  nowhere = np.zeros(len(ids))
  scale = entry.scale(lambda: places.um_per_px(evidence))
  return Array(nowhere, nowhere, *scale, VISIUM_SPOT_UM)


def _check_radius(radius_px: float, array: Array, path: Path) -> None:
  ratio = radius_px * array.um_per_px / (array.spot_um / 2)
  if not 1 - _RADIUS_TOLERANCE <= ratio <= 1 + _RADIUS_TOLERANCE:
    raise BadInputError(
      path,
      "column r",
      f"{radius_px:.4g} px, {radius_px * array.um_per_px:.3g} um at {array.um_per_px:.3g} um per "
      f"pixel by the {array.source}",
      f"about {array.spot_um / 2:g} um",
      "check that coordinates and radius are pixels of one image",
    )
