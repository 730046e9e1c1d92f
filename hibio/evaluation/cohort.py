"""What the tasks read: one row a spot, with its expression, labels and feature vectors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pandas as pd
import scipy.sparse
from jaxtyping import Float

from hibio.readout import z_scores


@dataclasses.dataclass(frozen=True)
class Cohort:
  """Spots of several sections.

  Attributes:
    dataset: name of the corpus.
    spots: one row a spot: section_id, donor_id, patient (the donor, also where sections are held
      out one by one and count as donors), split, x_um, y_um, has_patch, has_counts and the label
      columns.
    counts: raw counts over the panel.
    measured: which panel genes each spot's section measures, one row a section id.
    features: "<method>/<what it sees>" -> feature vectors, e.g. "hibio/image" or "pca/gene"; after
      an "@" stands the level where it is not the spot: "hibio/image@region1". "image" is seen in
      the H&E alone, "gene" in the expression alone, "fused" in both.
    readout: name -> expression predicted from the image, of `readout_genes`: by a readout that is
      stored with the checkpoint in log1p of counts per 10,000, by the model's own head standardised
      in its section.
    gene_symbols: of the panel.
    readout_genes: panel rows that `readout` holds.
    in_units: features that come in units of their section: their scale means something.
  """

  dataset: str
  spots: pd.DataFrame
  counts: scipy.sparse.csr_matrix
  measured: Mapping[str, np.ndarray]
  features: Mapping[str, Float[np.ndarray, "spot width"]]
  readout: Mapping[str, Float[np.ndarray, "spot gene"]] = dataclasses.field(default_factory=dict)
  gene_symbols: tuple[str, ...] = ()
  readout_genes: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, int))
  in_units: frozenset[str] = frozenset()

  def subset(self, keep: np.ndarray) -> Cohort:
    """The cohort with only the spots where `keep` is True."""
    return dataclasses.replace(
      self,
      spots=self.spots[keep].reset_index(drop=True),
      counts=self.counts[keep],
      features={name: values[keep] for name, values in self.features.items()},
      readout={name: values[keep] for name, values in self.readout.items()},
    )

  def seen_by(self, feature: str) -> Cohort:
    """Only the spots that a feature says something of: those with a patch, with counts, or both."""
    return self.subset(self.spots[list(_NEEDS[modality(feature)])].all(axis=1).to_numpy())

  def split(self, *names: str) -> Cohort:
    """Only the spots of donors in the given splits."""
    return self.subset(self.spots["split"].isin(names).to_numpy())

  def sections(self):
    """(section id, indices of its spots), in the corpus' order."""
    ids = self.spots["section_id"].to_numpy()
    for section in dict.fromkeys(ids):
      yield section, np.flatnonzero(ids == section)

  def in_section_units(self, feature: str) -> Float[np.ndarray, "spot width"]:
    """A feature about the mean of each section, in its standard deviations; 0 in unseen spots."""
    values = self.features[feature]
    if feature in self.in_units:
      return values
    seen = self.spots[list(_NEEDS[modality(feature)])].all(axis=1).to_numpy(bool)
    units = np.zeros(values.shape, np.float32)
    for _, rows in self.sections():
      units[rows] = z_scores(values[rows], seen[rows])
    return units

  def z_scores(self, values: Float[np.ndarray, "spot column"]) -> Float[np.ndarray, "spot column"]:
    """Each column with mean 0 and standard deviation 1 in each section; 0 where it is constant."""
    values = np.array(values, np.float64)
    for _, rows in self.sections():
      values[rows] = z_scores(values[rows])
    return values

  def log_expression(
    self, genes: np.ndarray | slice = slice(None)
  ) -> Float[np.ndarray, "spot gene"]:
    """log1p of counts per 10,000 of the spot, for the given panel rows."""
    totals = np.maximum(np.asarray(self.counts.sum(axis=1), np.float32), 1.0)
    return np.log1p(np.asarray(self.counts[:, genes].todense(), np.float32) * (1e4 / totals))


def modality(feature: str) -> str:
  """What a feature has seen: "image", "gene", "fused" (both) or "position" (neither)."""
  return feature.partition("/")[2].partition("@")[0]


_NEEDS = {
  "image": ("has_patch",),
  "gene": ("has_counts",),
  "fused": ("has_patch", "has_counts"),
  "position": (),
}
