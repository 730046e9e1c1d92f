"""One section through the model, window by window, its results written as they come."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from data_pipelines.genes import GenePanel
from data_pipelines.preparation.regions import nested_regions
from data_pipelines.streamed import StreamedSection
from hibio.export import keys, windows
from hibio.export.corpus_tables import CorpusTables, unmeasured
from hibio.export.counted import Counted
from hibio.export.readout import compiled
from hibio.export.results import Place, Results
from hibio.model import HiBio

FUSED, IMAGE, GENE = (("obsm", name) for name in (keys.FUSED, keys.IMAGE, keys.GENE))
PATHWAYS: Place = ("obsm", keys.PATHWAYS)


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
  num_genes, num_pathways = frozen.shape.num_genes, len(frozen.tables.membership)
  counted = None
  if section.read_counts is not None:
    counted = Counted(section, frozen.panel, frozen.tables.membership)
  has_counts = counted.has_counts if counted else np.zeros(section.num_spots, bool)
  on_image = section.on_image()
  modalities = [name for name, has in (("image", on_image), ("gene", has_counts)) if has.any()]
  named_pathways = bool(frozen.tables.names)
  read = compiled(frozen.model, tuple(modalities), named_pathways, prediction is not None)
  tables = frozen.tables.of_section(
    counted.table if counted else unmeasured(num_genes, num_pathways)
  )
  sees = np.zeros(section.num_spots, np.int64)
  features = np.zeros((section.num_spots, len(modalities), frozen.model.config.embedding_width),
                      np.float32)  # fmt: skip

  def settle(spots: np.ndarray, batch, found) -> None:
    real = spots >= 0
    own = spots[real]
    sees[own] = _sees(batch, frozen.neighbours_um)[real]
    something = sees[own] < keys.SEES_VALUES.index("nothing")
    vectors = {name: np.asarray(found[name])[real] * something[:, None] for name in modalities}
    features[own] = np.stack(list(vectors.values()), axis=1)
    rows = section.rows[own]
    for name, place in (("image", IMAGE), ("gene", GENE)):
      if name in vectors:
        results.write(place, rows, vectors[name])
    known = {"image": on_image[own], "gene": has_counts[own]}
    results.write(FUSED, rows, fused(vectors, {name: known[name] for name in modalities}))
    if named_pathways:
      results.write(PATHWAYS, rows, _or_nan(np.asarray(found["pathways"])[real], something))
    if prediction is not None:
      values = np.asarray(found["predicted"])[real]
      values = np.where(prediction.panel_rows >= 0, values[:, prediction.panel_rows], np.nan)
      results.write(prediction.place, rows, _or_nan(values, something))
    tell(len(own), section.section_id)

  waiting = None  # the device works on one batch while the next is read
  reader = counted.rows if counted else None
  for spots, batch in windows.batches(section, reader, has_counts, frozen.shape):
    found = read(frozen.params, batch, tables)
    if waiting is not None:
      settle(*waiting)
    waiting = (spots, batch, found)
  settle(*waiting)

  domains = np.zeros((0, section.num_spots), np.int32)
  if domain_spots:
    flat = features.reshape(section.num_spots, -1)
    domains = nested_regions(flat, section.positions_um, domain_spots)
  return Embedded(sees, domains, _about(section, counted, modalities, sees))


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


def _sees(batch, radius_um: float) -> Int[np.ndarray, "window spot"]:
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
  section: StreamedSection, counted: Counted | None, modalities: list[str], sees: np.ndarray
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
