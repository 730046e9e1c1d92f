"""An AnnData as sections that are read a few spots at a time, every spot kept and in order."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Int

from data_pipelines.problems import BadInputError, nearest
from data_pipelines.readers import lattice, placement
from data_pipelines.readers.annotated import images, places, raw_matrix, slides
from data_pipelines.readers.annotated.contents import Contents, Library
from data_pipelines.readers.annotated.images import Chosen
from data_pipelines.readers.annotated.raw_matrix import RawMatrix
from data_pipelines.readers.assembly import on_image
from data_pipelines.section import StreamedSection
from data_pipelines.slide_image import SlideImage

NO_COUNTS = "none"
"""The layer to ask for when only the image is to be read."""
_MIN_SHARE_INSIDE = 0.5


@dataclasses.dataclass(frozen=True)
class Choices:
  """What a user says of an AnnData that it does not say itself.

  Attributes:
    layer: matrix of raw counts; None looks in the usual places; "none" reads no counts.
    library_key: column of `obs` that names sections.
    image: H&E image or its file, for an AnnData of one section.
    image_scale: pixels of `image` per pixel of the positions.
    um_per_px: micrometres per pixel of the positions.
    um_per_px_source: who says so.
    platform: array that the spots are of, where its pitch is known: a name in `PITCHES`.
    positions: what is known of them; see `readers.placement`.
    without_image: read none, whatever is there.
    genome: whose genes are kept, where there are those of two.
    round_counts: whether fractions that a correction left are rounded.
  """

  layer: str | None = None
  library_key: str | None = None
  image: Path | SlideImage | None = None
  image_scale: float = 1.0
  um_per_px: float | None = None
  um_per_px_source: str = "given"
  platform: str | None = None
  positions: str = "spots"
  without_image: bool = False
  genome: str | None = None
  round_counts: bool = False


PITCHES: dict[str, tuple[Callable[..., np.ndarray], float]] = {
  "visium": (lattice.hexagonal, 100.0),
  "legacy_st": (lattice.square, 200.0),
}
"""Array -> its lattice, and micrometres from spot to spot."""


def sections_of(contents: Contents, choices: Choices) -> list[StreamedSection]:
  """Every section, in the order in which they first appear.

  Raises:
    BadInputError: no positions, no length, no raw counts, or nothing at all to read.
  """
  if not len(contents.obs):
    raise BadInputError(contents.path, "obs", "no spots", "spots", "give a table with spots")
  _check_platform(contents, choices)
  names = slides.section_of_spots(contents, choices.library_key, choices.positions)
  ids = list(dict.fromkeys(names.tolist()))
  if choices.image is not None and len(ids) > 1:
    raise BadInputError(
      contents.path,
      "--image",
      f"one image for {len(ids)} sections ({', '.join(ids[:3])})",
      "one section",
      "give the sections one by one, or store their images in uns['spatial']",
    )
  matrix = matrix_of(contents, choices)
  each = (
    section_of(contents, choices, matrix, name, np.flatnonzero(names == name)) for name in ids
  )
  return [_checked(section, contents, choices) for section in each]


def _check_platform(contents: Contents, choices: Choices) -> None:
  """
  Raises:
    BadInputError: an array of unknown pitch, or one without the places of its spots.
  """
  if choices.platform is None:
    return
  expected = f"one of {', '.join(PITCHES)}"
  if choices.platform not in PITCHES:
    near = nearest(choices.platform, PITCHES)
    fix = f"write {near}" if near else "correct it, or give --um_per_px"
    raise BadInputError("--platform", "value", repr(choices.platform), expected, fix)
  if choices.um_per_px is None and places.array_positions(contents) is None:
    raise BadInputError(
      contents.path,
      "obs",
      f"no {' and '.join(places.ARRAY_COLUMNS)} beside --platform={choices.platform}",
      "the row and column on the array of each spot",
      "add them, or give --um_per_px in place of --platform",
    )


def _checked(section: StreamedSection, contents: Contents, choices: Choices) -> StreamedSection:
  """The section, with what is to be said of how its spots lie on array and image."""
  on = places.on_tissue(contents.obs.iloc[section.rows], contents.path)
  on &= section.on_image() | (section.image is None)
  array = places.array_positions(contents)
  notes = placement.checked(
    None if array is None else array[section.rows[on]],
    section.positions_px[on],
    section.image,
    section.um_per_px,
    file=contents.path,
    said=choices.positions,
  )
  if section.image is None and section.unused_images:
    notes += (f"no image is used, though there are some: {'; '.join(section.unused_images[:4])}",)
  return dataclasses.replace(section, notes=(*section.notes, *notes))


def matrix_of(contents: Contents, choices: Choices) -> RawMatrix | None:
  """The raw counts; None where there are no matrices, or none is to be read.

  Raises:
    BadInputError: there are matrices, and none is raw.
  """
  if choices.layer == NO_COUNTS or not (contents.matrices or choices.layer):
    return None
  return raw_matrix.find(
    contents, choices.layer, genome=choices.genome, rounded=choices.round_counts
  )


def section_of(
  contents: Contents,
  choices: Choices,
  matrix: RawMatrix | None,
  name: str,
  rows: Int[np.ndarray, " spot"],
) -> StreamedSection:
  """The section of these rows.

  Raises:
    BadInputError: as `sections_of`.
  """
  every = places.positions_px(contents)
  if choices.positions == placement.SWAPPED:
    every = every[:, ::-1]
  library = _library(contents, name, whole=len(rows) == len(contents.obs))
  um_per_px, how = _scale(contents, choices, library, rows, every)
  image, image_scale, unused = _image(contents, choices, library)
  stray = (f"{where}: not used, not in uns['spatial']" for where in contents.stray_images)
  section = StreamedSection(
    section_id=name,
    rows=rows,
    positions_px=every[rows] * (image_scale if image else 1.0),
    um_per_px=um_per_px / (image_scale if image else 1.0),
    um_per_px_source=how,
    image=image,
    image_scale=image_scale if image else 1.0,
    notes=(
      *_assumed(how),
      *slides.note_on(contents, rows, choices.library_key),
      *(_foreign_images(contents, name) if library is None else ()),
    ),
    unused_images=(*unused, *stray),
  )
  if image is not None:
    fix = "correct the scale factor or --image_scale"
    on_image(section.positions_px, image, contents.path, _MIN_SHARE_INSIDE, fix)
  if matrix is not None:
    genes = matrix.measured(contents.measured.get(name))
    return dataclasses.replace(
      section,
      gene_ids=matrix.gene_ids[genes],
      gene_symbols=matrix.gene_symbols[genes],
      read_counts=lambda local: matrix.rows(rows[local])[:, genes],
      notes=(
        f"counts from {matrix.where}{', rounded' if matrix.rounded else ''}",
        *matrix.notes,
        *section.notes,
      ),
    )
  if image is None:
    raise BadInputError(
      contents.path,
      "content",
      f"neither counts nor an image of section {name}",
      "one of them",
      "store raw counts in layers['counts'], or give --image",
    )
  return section


def _scale(
  contents: Contents, choices: Choices, library: Library | None, rows: np.ndarray, every: np.ndarray
) -> tuple[float, str]:
  if choices.um_per_px is not None:
    return choices.um_per_px, choices.um_per_px_source
  array = places.array_positions(contents)
  if choices.platform in PITCHES and array is not None:
    nominal, pitch_um = PITCHES[choices.platform]
    on_array = nominal(*array[rows].T, pitch_um)
    um_per_px = lattice.um_per_px(on_array, every[rows], contents.path)
    return um_per_px, f"lattice pitch of {pitch_um:g} um ({choices.platform})"
  return places.um_per_px(
    places.Evidence(
      positions_px=every[rows],
      array_positions=None if array is None else array[rows],
      scalefactors=library.scalefactors if library else {},
      path=contents.path,
    )
  )


def _assumed(how: str) -> tuple[str, ...]:
  """What to say of a scale that nothing else confirms."""
  if how != places.HEXAGONS:
    return ()
  return (
    "the scale is an assumption: spots lie on a hexagonal lattice, and its pitch is taken for "
    "Visium's 100 um; if it is another, say --um_per_px (1 where positions are micrometres)",
  )


def _library(contents: Contents, name: str, whole: bool) -> Library | None:
  """The section's entry of `uns["spatial"]`; the only one is that of a file's only section."""
  if whole and len(contents.libraries) == 1:
    return next(iter(contents.libraries.values()))
  return contents.libraries.get(name)


def _foreign_images(contents: Contents, name: str) -> tuple[str, ...]:
  """What to say of images where none is known to be of the section."""
  keys = [key for key, library in contents.libraries.items() if library.images or library.source]
  if not keys:
    return ()
  shown = places.shown(keys)
  return (f"images under {shown} in uns['spatial'] are not used: none of these is {name}",)


def _image(contents: Contents, choices: Choices, library: Library | None) -> Chosen:
  if isinstance(choices.image, SlideImage):
    return Chosen(choices.image, choices.image_scale)
  stored = images.chosen(library, contents.path)
  if choices.without_image:
    return Chosen()
  if choices.image is not None:
    image = SlideImage.open(choices.image, "full")
    return Chosen(image, choices.image_scale, stored.unused)
  return stored
