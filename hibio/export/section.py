"""One section through the model, window by window, its results written as they come."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from data_pipelines.console import Progress
from data_pipelines.features.reading import model_input
from data_pipelines.preparation.regions import nested_regions, spots_of_side
from data_pipelines.section import StreamedSection
from hibio import features
from hibio.batch import Batch
from hibio.evaluation import readings
from hibio.export import domains, windows
from hibio.export import results as names
from hibio.export.counts import PanelCounts, unmeasured
from hibio.export.predicted import Predicted, StoredPredictions
from hibio.export.reader import Reader
from hibio.export.results import Results
from hibio.masked import unit_rows
from hibio.pathways import pathway_anchors

_NOTHING = names.SEES_VALUES.index("nothing")


@dataclasses.dataclass(frozen=True)
class Written:
  """What is left to say of a section once its matrices are written.

  Attributes:
    sees: index into `results.SEES_VALUES` of each spot.
    domains: region of each spot at each level, finest first.
    around: modality -> embeddings of each spot and those that it touches; empty without domains.
    about: one row of the table of sections.
    notes: what a careful user should know of its genes.
  """

  sees: Int[np.ndarray, " spot"]
  domains: Int[np.ndarray, "level spot"]
  around: Mapping[str, Float[np.ndarray, "spot width"]]
  about: dict[str, Any]
  notes: tuple[str, ...]


def write_section(
  reader: Reader,
  section: StreamedSection,
  results: Results,
  domain_um: Sequence[float],
  predicted: Predicted | None,
  tell: Callable[[int, str], None],
) -> Written:
  """Writes the rows of one section.

  Args:
    domain_um: side that regions aim for at each level; empty for no domains.
    predicted: the genes whose expression is predicted, if any.
    tell: called with each batch's number of spots and the section's name.

  Raises:
    BadInputError: its counts or its image cannot be used.
  """
  counted = None
  if section.read_counts is not None:
    counted = PanelCounts(section, reader.panel, reader.tables.membership)
  has_counts = counted.has_counts if counted else np.zeros(section.num_spots, bool)
  modalities = _modalities(section.on_image(), has_counts)
  stored = predicted is not None and reader.readout is not None and "image" in modalities
  by_head = predicted is not None and not stored
  read = windows.compiled(reader.model, modalities, bool(reader.tables.names), by_head)
  table = (
    counted.table if counted else unmeasured(reader.shape.num_genes, len(reader.tables.membership))
  )
  tables = reader.tables.of_section(table)
  readout = StoredPredictions(reader.readout, predicted, section.num_spots) if stored else None
  level = reader.tables.log_level(table)
  rows = _Rows(reader, section, results, modalities, predicted, readout, level)
  waiting = None  # the device works on one batch while the next is read
  for spots, batch in windows.batches(
    section,
    counted.rows if counted else None,
    has_counts,
    reader.shape,
    _features(reader, section),
  ):
    found = read(reader.params, batch, tables)
    if waiting is not None:
      rows.write(*waiting)
    waiting = (spots, batch, found)
    tell(int((spots >= 0).sum()), section.section_id)
  rows.write(*waiting)
  rows.finish()
  about = _about(section, counted, modalities, rows.sees)
  regions, around = np.zeros((0, section.num_spots), np.int32), {}
  if domain_um:
    about["domains_from"], read = _reading(reader, rows.vectors, section.positions_um)
    spots = spots_of_side(domain_um, section.positions_um)
    regions = nested_regions(read, section.positions_um, spots)
    around = {
      name: domains.around(rows.vectors[:, number], section.positions_um)
      for number, name in enumerate(modalities)
    }
  if predicted is not None:
    about["predicted_by"] = names.STORED if stored else names.HEAD
  return Written(rows.sees, regions, around, about, counted.notes if counted else ())


def _features(reader: Reader, section: StreamedSection) -> Float[np.ndarray, "spot feature"] | None:
  """What is read in place of patches, if anything; a section's features are in memory at once."""
  if not reader.shape.num_features:
    return None
  if reader.encoder is None or section.image is None:
    return np.zeros((section.num_spots, reader.shape.num_features), np.float32)
  progress = Progress("embed: features", section.num_spots, "spots")
  tell = functools.partial(progress.add, note=section.section_id)
  values = features.read(
    reader.encoder, section.image, section.positions_px, section.um_per_px, tell
  )
  return model_input(values, np.isfinite(values).all(axis=1), section.positions_um)


def _reading(
  reader: Reader,
  vectors: Float[np.ndarray, "spot modality width"],
  positions_um: Float[np.ndarray, "spot 2"],
) -> tuple[str, Float[np.ndarray, "spot reading"]]:
  """What the section's domains are read from, by the rule that evaluation measures."""
  tables = reader.tables
  anchors = pathway_anchors(reader.params, tables.membership, tables.document_share)
  # Mean cosines with every anchor but for a turn: as far apart, in columns that fit in memory.
  _, lengths, directions = np.linalg.svd(np.asarray(anchors), full_matrices=False)
  similarity = vectors.mean(axis=1) @ (directions.T * lengths)
  return readings.of_section(vectors.reshape(len(vectors), -1), similarity, positions_um)


def _modalities(
  on_image: Bool[np.ndarray, " spot"], has_counts: Bool[np.ndarray, " spot"]
) -> tuple[str, ...]:
  """What any spot of the section has; the image first, which pathways are read from."""
  return tuple(name for name, has in (("image", on_image), ("gene", has_counts)) if has.any())


class _Rows:
  """Turns what the model returns for a batch into rows of the results.

  Attributes:
    sees: index into `results.SEES_VALUES` of each spot.
    vectors: embeddings of each spot, for domains; a section at a time stays in memory.
  """

  def __init__(
    self,
    reader: Reader,
    section: StreamedSection,
    results: Results,
    modalities: tuple[str, ...],
    predicted: Predicted | None,
    readout: StoredPredictions | None,
    level: tuple[Float[np.ndarray, " gene"], Float[np.ndarray, " gene"]],
  ):
    self._section, self._results, self._modalities = section, results, modalities
    self._predicted, self._neighbours_um = predicted, reader.neighbours_um
    self._readout, self._level = readout, level
    width = reader.model.config.embedding_width
    self.sees = np.full(section.num_spots, _NOTHING)
    self.vectors = np.zeros((section.num_spots, len(modalities), width), np.float32)
    # Written a column at a time, so once a section.
    self._pathways = np.full((section.num_spots, len(reader.tables.names)), np.nan, np.float32)

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
      self._results.write({"image": names.IMAGE, "gene": names.GENE}[name], rows, values)
    known = {"image": batch.has_patch[real], "gene": batch.has_counts[real]}
    known = {name: known[name] for name in self._modalities}
    self._results.write(names.FUSED, rows, fused(vectors, known))
    if "pathways" in found:
      self._pathways[own] = _or_nan(np.asarray(found["pathways"])[real], something)
    if self._readout is not None:
      self._readout.add(own, batch, real)
    elif self._predicted is not None:
      genes = self._predicted.panel_rows
      values = _or_nan(np.asarray(found["predicted"])[real][:, genes], something)
      self._results.write(names.PREDICTED, rows, values)
      mean, deviation = (part[genes] for part in self._level)
      self._predicted.write_log1p(self._results, rows, mean + values * deviation)

  def finish(self) -> None:
    """Writes what is written once a section."""
    if self._pathways.shape[1]:
      self._results.write(names.PATHWAYS, self._section.rows, self._pathways)
    if self._readout is not None:
      self._readout.write(self._results, self._section.rows, self.vectors[:, 0])


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
  return unit_rows(total)


def _sees(batch: Batch, radius_um: float) -> Int[np.ndarray, "window spot"]:
  """Index into `results.SEES_VALUES`; a spot's own data first, then whether a neighbour has any."""
  known = batch.has_patch | batch.has_counts
  offsets = batch.positions_um[:, :, None] - batch.positions_um[:, None]
  near = (offsets**2).sum(-1) <= radius_um**2
  surrounded = (near & known[:, None]).any(-1) & (radius_um > 0)
  own = np.where(batch.has_patch, np.where(batch.has_counts, 0, 1), 2)
  return np.where(known, own, np.where(surrounded, 3, 4))


def _or_nan(values: np.ndarray, known: np.ndarray) -> np.ndarray:
  return np.where(known[:, None], values, np.nan).astype(np.float32)


def _about(
  section: StreamedSection,
  counted: PanelCounts | None,
  modalities: tuple[str, ...],
  sees: np.ndarray,
) -> dict[str, Any]:
  return {
    "section": section.section_id,
    "spots": section.num_spots,
    **{f"sees_{name}": int((sees == n).sum()) for n, name in enumerate(names.SEES_VALUES)},
    "panel_genes_found": int(counted.table.measured.sum()) if counted else 0,
    "counts_on_panel": counted.share if counted else 0.0,
    "um_per_px": float(section.um_per_px * section.image_scale),
    "um_per_px_source": section.um_per_px_source,
    "image": f"{section.image.kind}, {section.um_per_px:.4g} um a pixel" if section.image else "",
    "read_from": modalities[0],
    "notes": "; ".join((*section.notes, *(counted.notes if counted else ()))),
  }
