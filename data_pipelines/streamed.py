"""A section whose counts stay where they are and are read a few spots at a time.

Unlike `Section` it keeps every spot, with counts or without, on the image or beside it: it is what
a trained model is run over, and nobody's spots may get lost on the way.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float, Int

from data_pipelines.section import Section
from data_pipelines.slide_image import SlideImage

ReadRows = Callable[[Int[np.ndarray, " row"]], scipy.sparse.csr_matrix]


@dataclasses.dataclass(frozen=True)
class StreamedSection:
  """Spots of one section.

  Attributes:
    section_id: its name.
    rows: row of each spot in the table that holds all sections.
    positions_px: spot centres in pixels of `image`, or of the full-size image where there is none.
    um_per_px: micrometres a pixel of the same image.
    um_per_px_source: how it was found.
    image: H&E image; None for expression alone.
    image_scale: pixels of `image` per pixel of the full-size image.
    gene_ids: as in `Section`; empty without counts.
    gene_symbols: as in `Section`.
    read_counts: raw counts, `[spot, gene]`, of the spots of these numbers within the section, which
      must rise; None for an image alone.
    notes: what a careful user should know.
  """

  section_id: str
  rows: Int[np.ndarray, " spot"]
  positions_px: Float[np.ndarray, "spot 2"]
  um_per_px: float
  um_per_px_source: str
  image: SlideImage | None = None
  image_scale: float = 1.0
  gene_ids: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, object))
  gene_symbols: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, object))
  read_counts: ReadRows | None = None
  notes: tuple[str, ...] = ()

  @property
  def num_spots(self) -> int:
    return len(self.rows)

  @property
  def positions_um(self) -> Float[np.ndarray, "spot 2"]:
    return self.positions_px * self.um_per_px

  def on_image(self) -> Bool[np.ndarray, " spot"]:
    """Spots whose centre lies on the image; none without one."""
    if self.image is None:
      return np.zeros(self.num_spots, bool)
    x, y = self.positions_px.T
    return (x >= 0) & (x < self.image.width_px) & (y >= 0) & (y < self.image.height_px)


def of_section(section: Section, first_row: int = 0) -> StreamedSection:
  """A section that is in memory, as rows from `first_row` on of a larger table."""
  return StreamedSection(
    section_id=section.section_id,
    rows=np.arange(first_row, first_row + section.num_spots),
    positions_px=section.positions_px,
    um_per_px=section.um_per_px,
    um_per_px_source=section.um_per_px_source,
    image=section.image,
    image_scale=section.image_scale,
    gene_ids=section.gene_ids,
    gene_symbols=section.gene_symbols,
    read_counts=lambda rows: section.counts[rows],
    notes=section.notes,
  )
