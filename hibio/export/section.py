"""One section through the model, window by window, its results written as they come."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from data_pipelines.genes import GenePanel
from data_pipelines.preparation.regions import nested_regions
from data_pipelines.section import StreamedSection
from hibio.batch import Batch
from hibio.export import keys, windows
from hibio.export.corpus_tables import CorpusTables, unmeasured
from hibio.export.counted import Counted
from hibio.export.readout import compiled
from hibio.export.results import Place, Results
from hibio.model import HiBio

FUSED, IMAGE, GENE = (("obsm", name) for name in (keys.FUSED, keys.IMAGE, keys.GENE))
PATHWAYS: Place = ("obsm", keys.PATHWAYS)
_NOTHING = keys.SEES_VALUES.index("nothing")


@dataclasses.dataclass(frozen=True)
class Frozen:
  """A trained model with all that reading a section takes.

  Attributes:
    model: the module.
    params: its parameters.
    panel: the genes it reads, with symbols to find them by.
    tables: of the corpus it was trained on.
    shape: of the windows it was trained on.
    neighbours_um: how far it looks around a spot.
  """

  model: HiBio
  params: Any
  panel: GenePanel
  tables: CorpusTables
  shape: windows.Shape
  neighbours_um: float


@dataclasses.dataclass(frozen=True)
class Prediction:
  """Where predicted expression goes.

  Attributes:
    place: a layer over all genes of the AnnData, or a matrix over the panel.
    panel_rows: row of the panel of each column; -1 for genes that the model does not know.
  """

  place: Place
  panel_rows: Int[np.ndarray, " column"]


@dataclasses.dataclass(frozen=True)
class Embedded:
  """What is left to say of a section once its matrices are written.

  Attributes:
    sees: index into `keys.SEES_VALUES` of each spot.
    domains: region of each spot at each level, finest first.
    about: one row of the table of sections.
  """

  sees: Int[np.ndarray, " spot"]
  domains: Int[np.ndarray, "level spot"]
  about: dict[str, Any]


def embed(
  frozen: Frozen,
  section: StreamedSection,
  results: Results,
  domain_spots: Sequence[int],
  prediction: Prediction | None,
  tell: Callable[[int, str], None],
) -> Embedded:
  """Writes the rows of one section.

  Args:
    domain_spots: spots that regions aim for at each level; empty for no domains.
    tell: called with each batch's number of spots and the section's name.

  Raises:
    BadInputError: its counts or its image cannot be used.
  """
  counted = None
  if section.read_counts is not None:
    counted = Counted(section, frozen.panel, frozen.tables.membership)
  has_counts = counted.has_counts if counted else np.zeros(section.num_spots, bool)
  modalities = _modalities(section.on_image(), has_counts)
  read = compiled(frozen.model, modalities, bool(frozen.tables.names), prediction is not None)
  tables = frozen.tables.of_section(
    counted.table if counted else unmeasured(frozen.shape.num_genes, len(frozen.tables.membership))
  )
  rows = _Rows(frozen, section, results, modalities, prediction)
  waiting = None  # the device works on one batch while the next is read
  for spots, batch in windows.batches(
    section, counted.rows if counted else None, has_counts, frozen.shape
  ):
    found = read(frozen.params, batch, tables)
    if waiting is not None:
      rows.write(*waiting)
    waiting = (spots, batch, found)
    tell(int((spots >= 0).sum()), section.section_id)
  rows.write(*waiting)
  domains = np.zeros((0, section.num_spots), np.int32)
  if domain_spots:
    flat = rows.vectors.reshape(section.num_spots, -1)
    domains = nested_regions(flat, section.positions_um, domain_spots)
  return Embedded(rows.sees, domains, _about(section, counted, modalities, rows.sees))


def _modalities(
  on_image: Bool[np.ndarray, " spot"], has_counts: Bool[np.ndarray, " spot"]
) -> tuple[str, ...]:
  """What any spot of the section has; the image first, which pathways are read from."""
  return tuple(name for name, has in (("image", on_image), ("gene", has_counts)) if has.any())


class _Rows:
  """Turns what the model returns for a batch into rows of the results.

  Attributes:
    sees: index into `keys.SEES_VALUES` of each spot.
    vectors: embeddings of each spot, for domains; a section at a time stays in memory.
  """

  def __init__(
    self,
    frozen: Frozen,
    section: StreamedSection,
    results: Results,
    modalities: tuple[str, ...],
    prediction: Prediction | None,
  ):
    self._section, self._results, self._modalities = section, results, modalities
    self._prediction, self._neighbours_um = prediction, frozen.neighbours_um
    width = frozen.model.config.embedding_width
    self.sees = np.full(section.num_spots, _NOTHING)
    self.vectors = np.zeros((section.num_spots, len(modalities), width), np.float32)

  def write(
    self, spots: Int[np.ndarray, "window place"], batch: Batch, found: dict[str, Any]
  ) -> None:
    """Writes the real spots of a batch."""
    real = spots >= 0
    own = spots[real]
    self.sees[own] = _sees(batch, self._neighbours_um)[real]
    something = self.sees[own] != _NOTHING
    rows = self._section.rows[own]
    vectors = {
      name: np.asarray(found[name])[real] * something[:, None] for name in self._modalities
    }
    self.vectors[own] = np.stack(list(vectors.values()), axis=1)
    for name, values in vectors.items():
      self._results.write({"image": IMAGE, "gene": GENE}[name], rows, values)
    known = {"image": batch.has_patch[real], "gene": batch.has_counts[real]}
    known = {name: known[name] for name in self._modalities}
    self._results.write(FUSED, rows, fused(vectors, known))
    if "pathways" in found:
      self._results.write(PATHWAYS, rows, _or_nan(np.asarray(found["pathways"])[real], something))
    if self._prediction is not None:
      columns = self._prediction.panel_rows
      values = np.asarray(found["predicted"])[real][:, columns]
      values = np.where(columns >= 0, values, np.nan)
      self._results.write(self._prediction.place, rows, _or_nan(values, something))


def fused(
  vectors: dict[str, Float[np.ndarray, "spot width"]], known: dict[str, Bool[np.ndarray, " spot"]]
) -> Float[np.ndarray, "spot width"]:
  """The unit-norm mean of what is known of each spot.

  Both embeddings lie in one space, in which they were trained to agree: their mean is a point of
  it, and keeps one width whether a spot has both or one of them. A spot with neither is the mean of
  what the model reads from its neighbours.
  """
  weight = np.stack([known[name] for name in vectors]).astype(np.float32)
  weight = np.where(weight.any(axis=0), weight, 1.0)
  total = np.einsum("ms,msw->sw", weight, np.stack(list(vectors.values())))
  return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)


def _sees(batch: Batch, radius_um: float) -> Int[np.ndarray, "window spot"]:
  """Index into `keys.SEES_VALUES`; a spot's own data first, then whether a neighbour has any."""
  known = batch.has_patch | batch.has_counts
  offsets = batch.positions_um[:, :, None] - batch.positions_um[:, None]
  near = (offsets**2).sum(-1) <= radius_um**2
  surrounded = (near & known[:, None]).any(-1) & (radius_um > 0)
  own = np.where(batch.has_patch, np.where(batch.has_counts, 0, 1), 2)
  return np.where(known, own, np.where(surrounded, 3, 4))


def _or_nan(values: np.ndarray, known: np.ndarray) -> np.ndarray:
  return np.where(known[:, None], values, np.nan).astype(np.float32)


def _about(
  section: StreamedSection, counted: Counted | None, modalities: tuple[str, ...], sees: np.ndarray
) -> dict[str, Any]:
  return {
    "section": section.section_id,
    "spots": section.num_spots,
    **{f"sees_{name}": int((sees == n).sum()) for n, name in enumerate(keys.SEES_VALUES)},
    "panel_genes_found": int(counted.table.measured.sum()) if counted else 0,
    "um_per_px": float(section.um_per_px * section.image_scale),
    "um_per_px_source": section.um_per_px_source,
    "image": f"{section.image.kind}, {section.um_per_px:.4g} um a pixel" if section.image else "",
    "read_from": modalities[0],
    "notes": "; ".join(section.notes),
  }
