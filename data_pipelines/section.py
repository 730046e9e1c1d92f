"""One tissue section as every reader returns it: raw counts, where they lie, and its image.

Conventions: x runs right and y runs down, as in the image; `positions_px` are pixels of the image
that `image` opens; a gene a platform does not measure is absent, not zero.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from data_pipelines.slide_image import SlideImage

UNLABELLED = frozenset(
  ("", "nan", "na", "n/a", "none", "null", "undetermined", "unassigned", "unlabelled", "unknown")
)
"""Names, in lower case, that say that a spot has no label."""

FLAGS = ("padded", "inked", "blurred", "blank")
"""What may be wrong with the patch of a spot: it crosses the border of the image, shows ink, is out
of focus, shows nothing."""

VISIUM_SPOT_UM = 65.0
"""What Space Ranger's `spot_diameter_fullres` stands for; 65 to 70 um by the lattice."""


@dataclasses.dataclass(frozen=True)
class Section:
  """Raw counts of the spots of one section, their positions, and the H&E image if there is one.

  Attributes:
    section_id: unique name of the section.
    donor_id: the person or animal it came from; the unit of splitting.
    platform: the reader's own word, e.g. "visium" or "legacy_st".
    species: e.g. "human" or "mouse"; None where unknown.
    counts: raw integer counts, `[spot, gene]`, CSR, int32.
    gene_ids: Ensembl ids without version where the file has them, else the symbols.
    gene_symbols: gene symbols, same order; the ids again where the file has no symbols.
    spot_ids: barcodes, or `XxY` array coordinates on legacy arrays.
    positions_um: spot centres in micrometres.
    positions_px: spot centres in pixels of `image` (or of the full-size image where none is given).
    array_positions: (row, column) on the array's lattice.
    um_per_px: micrometres per pixel of `image`.
    um_per_px_source: how `um_per_px` was found, e.g. "lattice pitch".
    image: handle on the H&E image; None for expression-only sections.
    image_scale: pixels of `image` per pixel of the full-size image that the platform measured on.
    spot_um: diameter of a spot.
    labels: name -> one string per spot, "" where unlabelled.
    flags: one of `FLAGS` -> which spots have it; empty where nobody looked.
    dropped: reason -> how many spots, genes or labels were left out.
    notes: what a careful user should know; printed by `inspect`, kept in the manifest.
    unused_images: "name: not used, why" for each image that lies beside it.
  """

  section_id: str
  donor_id: str
  platform: str
  species: str | None
  counts: scipy.sparse.csr_matrix
  gene_ids: np.ndarray
  gene_symbols: np.ndarray
  spot_ids: np.ndarray
  positions_um: Float[np.ndarray, "spot 2"]
  positions_px: Float[np.ndarray, "spot 2"]
  array_positions: np.ndarray
  um_per_px: float
  um_per_px_source: str
  image: SlideImage | None = None
  image_scale: float = 1.0
  spot_um: float = VISIUM_SPOT_UM
  labels: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
  flags: Mapping[str, Bool[np.ndarray, " spot"]] = dataclasses.field(default_factory=dict)
  dropped: Mapping[str, int] = dataclasses.field(default_factory=dict)
  notes: tuple[str, ...] = ()
  unused_images: tuple[str, ...] = ()

  def __post_init__(self):
    spots, genes = self.counts.shape
    for name in ("spot_ids", "positions_um", "positions_px", "array_positions"):
      if len(getattr(self, name)) != spots:
        raise ValueError(
          f"{self.section_id}: {name} has {len(getattr(self, name))} rows, not {spots}"
        )
    for name in ("gene_ids", "gene_symbols"):
      if len(getattr(self, name)) != genes:
        raise ValueError(
          f"{self.section_id}: {name} has {len(getattr(self, name))} rows, not {genes}"
        )
    for name, values in {**self.labels, **self.flags}.items():
      if len(values) != spots:
        raise ValueError(f"{self.section_id}: {name} has {len(values)} rows, not {spots}")

  @property
  def num_spots(self) -> int:
    return self.counts.shape[0]

  def subset(self, keep: np.ndarray, reason: str) -> Section:
    """The same section with only the spots where `keep`; what is lost is counted under `reason`."""
    keep = np.flatnonzero(keep) if keep.dtype == bool else keep
    lost = self.num_spots - len(keep)
    dropped = dict(self.dropped)
    if lost:
      dropped[reason] = dropped.get(reason, 0) + lost
    return dataclasses.replace(
      self,
      counts=self.counts[keep],
      spot_ids=self.spot_ids[keep],
      positions_um=self.positions_um[keep],
      positions_px=self.positions_px[keep],
      array_positions=self.array_positions[keep],
      labels={name: values[keep] for name, values in self.labels.items()},
      flags={name: values[keep] for name, values in self.flags.items()},
      dropped=dropped,
    )


def spacing(places: Float[np.ndarray, "place 2"]) -> float | None:
  """From a place to the nearest other one, in the median and their unit; None of fewer than two."""
  if len(places) < 2:
    return None
  return float(np.median(cKDTree(places).query(places, k=2)[0][:, 1]))


ReadRows = Callable[[Int[np.ndarray, " row"]], scipy.sparse.csr_matrix]


@dataclasses.dataclass(frozen=True)
class StreamedSection:
  """Spots of one section.

  Attributes:
    section_id: its name.
    rows: row of each spot in the table that holds all sections.
    positions_px: spot centres in pixels of `image`, or of the full-size image where there is none.
    um_per_px: micrometres per pixel of the same image.
    um_per_px_source: how it was found.
    image: H&E image; None for expression alone.
    image_scale: pixels of `image` per pixel of the full-size image.
    gene_ids: as in `Section`; empty without counts.
    gene_symbols: as in `Section`.
    read_counts: raw counts, `[spot, gene]`, of the spots of these numbers within the section, which
      must rise; None for an image alone.
    notes: what a careful user should know.
    unused_images: as in `Section`.
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
  unused_images: tuple[str, ...] = ()

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
    return self.image.holds(self.positions_px)


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
