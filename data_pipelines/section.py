"""One tissue section as every reader returns it: raw counts, where they lie, and its image.

Conventions: x runs right and y runs down, as in the image; `positions_px` are pixels of the image
that `image` opens; a gene a platform does not measure is absent, not zero.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import scipy.sparse
from jaxtyping import Float

from data_pipelines.slide_image import SlideImage


@dataclasses.dataclass(frozen=True)
class Section:
  """Raw counts of the spots of one section, their positions, and the H&E image if there is one.

  Attributes:
    section_id: unique name of the section.
    donor_id: the person or animal it came from; the unit of splitting.
    platform: the reader's own word, e.g. "visium" or "legacy_st".
    species: "human", "mouse" or None where unknown.
    counts: raw integer counts, `[spot, gene]`, CSR, int32.
    gene_ids: Ensembl ids without version where the file has them, else the symbols.
    gene_symbols: gene symbols, same order; the ids again where the file has no symbols.
    spot_ids: barcodes, or `XxY` array coordinates on legacy arrays.
    positions_um: spot centres in micrometres.
    positions_px: spot centres in pixels of `image` (or of the full-size image where none is given).
    array_positions: (row, column) on the array's lattice.
    um_per_px: micrometres a pixel of `image`.
    um_per_px_source: how `um_per_px` was found, e.g. "lattice pitch".
    image: handle on the H&E image; None for expression-only sections.
    image_scale: pixels of `image` per pixel of the full-size image that the platform measured on.
    labels: name -> one string a spot, "" where unlabelled.
    dropped: reason -> how many spots, genes or labels were left out.
    notes: what a careful user should know; printed by `inspect`, kept in the manifest.
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
  labels: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
  dropped: Mapping[str, int] = dataclasses.field(default_factory=dict)
  notes: tuple[str, ...] = ()

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
    for name, values in self.labels.items():
      if len(values) != spots:
        raise ValueError(f"{self.section_id}: label {name} has {len(values)} rows, not {spots}")

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
      dropped=dropped,
    )
