"""Predicted expression of one section: of which genes, in which units, and by a stored readout."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int

from hibio.batch import Batch
from hibio.export import results as names
from hibio.export.results import Results
from hibio.readout import Readout

_PIECE = 1024
"""Spots whose layer is made at a time: it has a column for every gene of the AnnData."""


@dataclasses.dataclass(frozen=True)
class Predicted:
  """The genes whose expression is predicted.

  Attributes:
    names: as the AnnData calls them, else by their symbols.
    panel_rows: row of the panel of each.
  """

  names: tuple[str, ...]
  panel_rows: Int[np.ndarray, " gene"]

  def write_log1p(
    self,
    results: Results,
    rows: Int[np.ndarray, " spot"],
    values: Float[np.ndarray, "spot gene"],
  ) -> None:
    """Writes log1p of counts per 10,000 into the layer that has it; none below 0.

    Genes that the results have no column for are left out.
    """
    column_of = {name: column for column, name in enumerate(results.genes)}
    there = [number for number, name in enumerate(self.names) if name in column_of]
    columns = [column_of[self.names[number]] for number in there]
    for start in range(0, len(rows) if there else 0, _PIECE):
      piece = slice(start, start + _PIECE)
      layer = np.full((len(rows[piece]), len(results.genes)), np.nan, np.float32)
      layer[:, columns] = np.maximum(values[piece][:, there], 0.0)
      results.write(names.LOG1P, rows[piece], layer)


class StoredPredictions:
  """Gathers what the readout reads, batch by batch; expression follows at the end.

  Features come in units of their section, so that no spot can be predicted before the last is read.

  Args:
    predicted: the genes of the columns.
  """

  def __init__(self, stored: Readout, predicted: Predicted, num_spots: int):
    self._stored, self._predicted = stored, predicted
    self._has_patch = np.zeros(num_spots, bool)
    self._features: np.ndarray | None = None

  def add(
    self, spots: Int[np.ndarray, " real"], batch: Batch, real: Bool[np.ndarray, "window place"]
  ) -> None:
    """What a batch holds of its real spots."""
    self._has_patch[spots] = np.asarray(batch.has_patch)[real]
    if "features" in self._stored.reads:
      features = np.asarray(batch.features)[real]
      if self._features is None:
        self._features = np.zeros((len(self._has_patch), features.shape[1]), np.float32)
      self._features[spots] = features

  def write(
    self,
    results: Results,
    rows: Int[np.ndarray, " spot"],
    image: Float[np.ndarray, "spot width"],
  ) -> None:
    """Writes expression and its spread; not-a-number in spots without an image.

    Args:
      rows: of the section's spots in the results.
      image: embeddings of the image.
    """
    seen = self._has_patch
    blocks = {"embedding": image[seen]}
    if self._features is not None:
      blocks["features"] = self._features[seen]
    genes = self._predicted.panel_rows
    found = np.full((2, len(seen), len(genes)), np.nan, np.float32)
    found[:, seen] = self._stored.predict(blocks, genes)
    self._predicted.write_log1p(results, rows, found[0])
    for name, values in zip((names.PREDICTED, names.PREDICTED_SD), found, strict=True):
      results.write(name, rows, values)
