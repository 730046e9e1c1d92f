"""What the tasks read: one row a spot, with its expression, labels and feature vectors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pandas as pd
import scipy.sparse
from jaxtyping import Float


@dataclasses.dataclass(frozen=True)
class Cohort:
  """Spots of several sections.

  Attributes:
    dataset: name of the corpus.
    spots: one row a spot: section_id, donor_id, split, x_um, y_um and the label columns.
    counts: raw counts over the panel.
    measured: which panel genes each spot's section measures, one row a section id.
    features: name -> feature vectors; "image" ones are seen in the H&E alone, "gene" ones in the
      expression alone.
    readout: name -> expression standardised in its section, predicted from the image.
  """

  dataset: str
  spots: pd.DataFrame
  counts: scipy.sparse.csr_matrix
  measured: Mapping[str, np.ndarray]
  features: Mapping[str, Float[np.ndarray, "spot width"]]
  readout: Mapping[str, Float[np.ndarray, "spot gene"]] = dataclasses.field(default_factory=dict)

  def subset(self, keep: np.ndarray) -> Cohort:
    """The cohort with only the spots where `keep` is True."""
    return dataclasses.replace(
      self,
      spots=self.spots[keep].reset_index(drop=True),
      counts=self.counts[keep],
      features={name: values[keep] for name, values in self.features.items()},
      readout={name: values[keep] for name, values in self.readout.items()},
    )

  def split(self, *names: str) -> Cohort:
    """Only the spots of donors in the given splits."""
    return self.subset(self.spots["split"].isin(names).to_numpy())

  def sections(self):
    """(section id, indices of its spots), in the corpus' order."""
    ids = self.spots["section_id"].to_numpy()
    for section in dict.fromkeys(ids):
      yield section, np.flatnonzero(ids == section)

  def log_expression(
    self, genes: np.ndarray | slice = slice(None)
  ) -> Float[np.ndarray, "spot gene"]:
    """log1p of counts per 10,000 of the spot, for the given panel rows."""
    totals = np.maximum(np.asarray(self.counts.sum(axis=1), np.float32), 1.0)
    return np.log1p(np.asarray(self.counts[:, genes].todense(), np.float32) * (1e4 / totals))
