"""HEST-1k: an AnnData of each sample in `st`, its slide in `wsis`, patches of it in `patches`.

Every file calls its section "ST", so that files name sections. Patches are of some of the spots, in
an order of their own: they are joined by barcode.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from data_pipelines.files import visible
from data_pipelines.hdf5_safety import open_hdf5
from data_pipelines.patch_image import PatchImage, corners_of
from data_pipelines.problems import BadInputError
from data_pipelines.readers import anndata, joins, lattice, space_ranger
from data_pipelines.readers.annotated import contents, places
from data_pipelines.readers.annotated.contents import Contents
from data_pipelines.readers.annotated.sections import Choices
from data_pipelines.readers.metadata import Metadata, file_name
from data_pipelines.readers.names import names_of
from data_pipelines.readers.source import Reader, SectionSource
from data_pipelines.section import Section
from data_pipelines.slide_image import SlideImage
from data_pipelines.text_files import as_numbers, read_json, read_table

_SPOTS, _SLIDES, _PATCHES, _ABOUT, _TABLE = "st", "wsis", "patches", "metadata", "HEST_v*.csv"
_SLIDE_ENDINGS = (".tif", ".tiff", ".svs", ".ome.tif")
_SPECIES = {"homo sapiens": "human", "mus musculus": "mouse"}
_POOLED = ("xenium", "visium hd")
"""Technologies whose spots are squares that HEST drew: their pitch is no measure."""
_BARCODES = ("barcode", "barcodes")
_SCALE_TOLERANCE = 0.05
_CENTRE_TOLERANCE = 0.1
"""Of a patch's side, by which the middle of a patch may miss its spot."""


@dataclasses.dataclass(frozen=True)
class Sample:
  """The files of one sample; None where there is none, and its row of HEST's table."""

  spots: Path
  slide: Path | None
  patches: Path | None
  about: Mapping[str, str]

  def text(self, column: str) -> str:
    value = str(self.about.get(column) or "").strip()
    return "" if value.lower() in ("nan", "none", "null") else value

  def number(self, column: str) -> float | None:
    value = as_numbers([self.text(column)])[0].item()
    return value if 0 < value < float("inf") else None

  @property
  def donor(self) -> str:
    """The patient of a study; empty where HEST does not name one."""
    patient, study = self.text("patient"), file_name(self.text("dataset_title"))[:40]
    return file_name(f"{study}_{patient}") if patient else ""

  @property
  def is_pooled(self) -> bool:
    return self.text("st_technology").lower().startswith(_POOLED)


def _find(path: Path, metadata: Metadata) -> list[SectionSource]:
  files = visible(path / _SPOTS, f"*{anndata.SUFFIX}")
  tables = visible(path, _TABLE)
  beside = any((path / name).is_dir() for name in (_SLIDES, _PATCHES, _ABOUT))
  if not files or not (tables or beside):
    return []
  rows = _rows(tables[-1]) if tables else {}
  return [_source_of(_sample(path, file, rows), metadata) for file in files]


def _rows(table: Path) -> dict[str, dict[str, str]]:
  rows = read_table(table)
  if "id" not in rows:
    found = f"only {', '.join(map(str, rows.columns[:8]))}"
    raise BadInputError(table, "column id", found, "names of samples", "copy HEST's table again")
  return {row["id"]: row for row in rows.to_dict("records")}


def _sample(path: Path, spots: Path, rows: Mapping[str, Mapping[str, str]]) -> Sample:
  name = spots.stem
  slides = (path / _SLIDES / f"{name}{ending}" for ending in _SLIDE_ENDINGS)
  patches, about = path / _PATCHES / f"{name}.h5", path / _ABOUT / f"{name}.json"
  return Sample(
    spots=spots,
    slide=next((file for file in slides if file.is_file()), None),
    patches=patches if patches.is_file() else None,
    about=rows.get(name) or (read_json(about) if about.is_file() else {}),
  )


def _source_of(sample: Sample, metadata: Metadata) -> SectionSource:
  name, *others = names_of(sample.spots, lambda folder: folder == _SPOTS)
  entry = metadata.entry(name, sample.spots.parent, sample.spots.parent.parent, also=others)
  section_id = file_name(entry.section)
  image = sample.slide or sample.patches
  return SectionSource(
    section_id=section_id,
    donor_id=entry.donor or sample.donor or section_id,
    reader="hest",
    path=sample.spots,
    files=(sample.spots, image) if image else (sample.spots,),
    entry=entry,
    load=functools.partial(_read_section, sample=sample),
    checks=(lambda: sample.slide and SlideImage.open(sample.slide),),
    other_names=tuple(others),
  )


READER = Reader(
  find=_find,
  holds="HEST-1k (st, with wsis, patches or metadata)",
  inner_folders=(_SPOTS, _SLIDES, _PATCHES, _ABOUT),
  annotated=True,
)


def _read_section(source: SectionSource, sample: Sample) -> Section:
  """One sample: on its slide, else on its patches, else on the small image in its file.

  Raises:
    BadInputError: as of any `.h5ad` file, or files that do not belong together.
  """
  entry = source.entry
  with contents.opened(sample.spots) as found:
    um_per_px, how = entry.um_per_px, "given"
    if um_per_px is None:
      um_per_px, how = _scale(found, sample)
    choices = Choices(
      layer=entry.layer, image=entry.path_of("image") or sample.slide,
      image_scale=entry.image_scale, um_per_px=um_per_px, um_per_px_source=how,
      platform=entry.platform,
    )  # fmt: skip
    kept, notes = None, ()
    if choices.image is None and sample.patches is not None:
      image, kept = _patches(found, sample.patches)
      choices = dataclasses.replace(choices, image=image, image_scale=image.scale)
      notes = (
        f"the image is {sample.patches.name}: only spots with a patch of their own are read",
      )
    if entry.donor is None and not sample.donor:
      notes += ("no patient in HEST's table: the section counts as its own donor",)
    if source.entry.species is None:
      species = _SPECIES.get(sample.text("species").lower())
      source = dataclasses.replace(source, entry=dataclasses.replace(entry, species=species))
    rows, name = np.arange(len(found.obs)), source.section_id
    return anndata.section_in(found, source, name, rows, choices, kept=kept, notes=notes)


def _scale(found: Contents, sample: Sample) -> tuple[float | None, str]:
  """Micrometres per pixel of the slide; None leaves it to what the file itself shows.

  The lattice that an array is printed on decides; HEST's table says its pitch. Where HEST pooled
  spots, its own estimate of the pixel does.

  Raises:
    BadInputError: the two contradict each other.
  """
  estimated, by_table = sample.number("pixel_size_um_estimated"), "HEST's table (estimated)"
  array = places.array_positions(found)
  hexagonal = array is not None and lattice.is_checkerboard(*array.T)
  pitch = sample.number("inter_spot_dist") or (space_ranger.PITCH_UM if hexagonal else None)
  if estimated and (sample.is_pooled or array is None or pitch is None):
    return estimated, by_table
  if array is None or pitch is None:
    return None, ""
  nominal = (lattice.hexagonal if hexagonal else lattice.square)(*array.T, pitch)
  um_per_px = lattice.um_per_px(nominal, places.positions_px(found), sample.spots)
  if estimated and not abs(um_per_px / estimated - 1) <= _SCALE_TOLERANCE:
    raise BadInputError(
      sample.spots,
      "micrometres per pixel",
      f"{um_per_px:.4g} by a lattice of {pitch:g} um beside {estimated:.4g} by {by_table}",
      "the same length by both",
      "say which with um_per_px in the metadata table",
    )
  return um_per_px, f"lattice pitch of {pitch:g} um"


def _patches(found: Contents, path: Path) -> tuple[PatchImage, np.ndarray]:
  """The patches as an image, and which spots have one.

  How many pixels of the slide a patch is wide is measured: its corner lies half as far from its
  spot.

  Raises:
    BadInputError: patches of other spots, or not around them.
  """
  with open_hdf5(path) as file:
    corners, side = corners_of(file, path)
    barcodes = _barcodes(file, path, len(corners))
  ids = found.obs.index.to_numpy(str)
  rows, _ = joins.match(barcodes, ids)
  if not (rows >= 0).any():
    raise joins.no_overlap(path, "barcodes", barcodes, ids)
  joined = rows >= 0
  half: Float[np.ndarray, "patch 2"] = places.positions_px(found)[rows[joined]] - corners[joined]
  width = 2 * float(np.median(half))
  if not (
    width > 0 and (np.abs(half - width / 2) <= _CENTRE_TOLERANCE * width).all(1).mean() > 0.95
  ):
    raise BadInputError(
      path,
      "coords",
      f"corners {np.median(half[:, 0]):.0f} px left of their spots and "
      f"{np.median(half[:, 1]):.0f} px above (medians)",
      "the top left corner (x, y) of a patch around each spot, in pixels of the slide",
      "take the patches of the same release as the file in st",
    )
  kept = np.zeros(len(ids), bool)
  kept[rows[joined]] = True
  scale = side / width
  size = np.ceil(places.positions_px(found).max(axis=0) * scale) + side
  return PatchImage.of_file(path, scale, (int(size[0]), int(size[1]))), kept


def _barcodes(file, path: Path, number: int) -> np.ndarray:
  key = next((name for name in _BARCODES if name in file), None)
  values = np.asarray(file[key][()]).ravel() if key else np.zeros(0)
  if len(values) != number:
    raise BadInputError(
      path,
      "barcode",
      f"{len(values)} names",
      f"{number}, one for each patch",
      "copy the file again",
    )
  return np.array([v.decode() if isinstance(v, bytes) else str(v) for v in values.tolist()])
