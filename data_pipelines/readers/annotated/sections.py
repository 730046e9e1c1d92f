"""An AnnData as sections that are read a few spots at a time, every spot kept and in order."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from jaxtyping import Int

from data_pipelines.problems import BadInputError
from data_pipelines.readers.annotated import images, places, raw_matrix, scale
from data_pipelines.readers.annotated.contents import Contents
from data_pipelines.readers.annotated.raw_matrix import RawMatrix
from data_pipelines.section import StreamedSection
from data_pipelines.slide_image import SlideImage

NO_COUNTS = "none"
"""The layer to ask for when only the image is to be read."""


@dataclasses.dataclass(frozen=True)
class Choices:
  """What a user says of an AnnData that it does not say itself.

  Attributes:
    layer: matrix of raw counts; None looks in the usual places; "none" reads no counts.
    library_key: column of `obs` that names sections.
    image: H&E image file, for an AnnData of one section.
    image_scale: pixels of `image` per pixel of the positions.
    um_per_px: micrometres a pixel of the positions.
  """

  layer: str | None = None
  library_key: str | None = None
  image: Path | None = None
  image_scale: float = 1.0
  um_per_px: float | None = None


def sections_of(contents: Contents, choices: Choices) -> list[StreamedSection]:
  """Every section, in the order in which they first appear.

  Raises:
    BadInputError: no positions, no length, no raw counts, or nothing at all to read.
  """
  if not len(contents.obs):
    raise BadInputError(contents.path, "obs", "no spots", "spots", "give a table with spots")
  names = places.section_of_spots(contents, choices.library_key)
  ids = list(dict.fromkeys(names.tolist()))
  if choices.image is not None and len(ids) > 1:
    raise BadInputError(
      contents.path, "--image", f"one image for {len(ids)} sections ({', '.join(ids[:3])})",
      "one section", "give the sections one by one, or store their images in uns['spatial']",
    )  # fmt: skip
  matrix = matrix_of(contents, choices)
  return [
    section_of(contents, choices, matrix, name, np.flatnonzero(names == name)) for name in ids
  ]


def matrix_of(contents: Contents, choices: Choices) -> RawMatrix | None:
  """The raw counts; None where there are no matrices, or none is to be read.

  Raises:
    BadInputError: there are matrices, and none is raw.
  """
  if choices.layer == NO_COUNTS or not (contents.matrices or choices.layer):
    return None
  return raw_matrix.find(contents, choices.layer)


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
  um_per_px, how = _scale(contents, choices, name, rows, every)
  image, image_scale = _image(contents, choices, name)
  section = StreamedSection(
    section_id=name,
    rows=rows,
    positions_px=every[rows] * (image_scale if image else 1.0),
    um_per_px=um_per_px / (image_scale if image else 1.0),
    um_per_px_source=how,
    image=image,
    image_scale=image_scale if image else 1.0,
  )
  if image is not None:
    images.check_inside(section.positions_px, image, contents.path)
  if matrix is not None:
    return dataclasses.replace(
      section,
      gene_ids=matrix.gene_ids,
      gene_symbols=matrix.gene_symbols,
      read_counts=lambda local: matrix.rows(rows[local]),
      notes=(f"counts from {matrix.where}",),
    )
  if image is None:
    raise BadInputError(
      contents.path, "content", f"neither counts nor an image of section {name}", "one of them",
      "store raw counts in layers['counts'], or give --image",
    )  # fmt: skip
  return section


def _scale(
  contents: Contents, choices: Choices, name: str, rows: np.ndarray, every: np.ndarray
) -> tuple[float, str]:
  if choices.um_per_px is not None:
    return choices.um_per_px, "given"
  array = places.array_positions(contents)
  library = contents.libraries.get(name)
  return scale.um_per_px(
    scale.Evidence(
      positions_px=every[rows],
      array_positions=None if array is None else array[rows],
      scalefactors=library.scalefactors if library else {},
      path=contents.path,
    )
  )


def _image(contents: Contents, choices: Choices, name: str) -> tuple[SlideImage | None, float]:
  if choices.image is not None:
    return SlideImage.open(choices.image, "full"), choices.image_scale
  return images.stored_image(contents.libraries.get(name), contents.path)
