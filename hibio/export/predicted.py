"""What a stored readout says of one section, once all of its spots have been read."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from hibio.batch import Batch
from hibio.export import results as names
from hibio.export.results import Results
from hibio.readout import Readout


class StoredPredictions:
  """Gathers what the readout reads, batch by batch; expression follows at the end.

  Features come in units of their section, so that no spot can be predicted before the last is read.

  Args:
    genes: rows of the panel whose expression is predicted, in the order of the columns.
  """

  def __init__(self, stored: Readout, genes: Int[np.ndarray, " column"], num_spots: int):
    self._stored, self._genes = stored, genes
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
    found = np.full((2, len(seen), len(self._genes)), np.nan, np.float32)
    found[:, seen] = self._stored.predict(blocks, self._genes)
    for name, values in zip((names.PREDICTED, names.PREDICTED_SD), found, strict=True):
      results.write(name, rows, values)
