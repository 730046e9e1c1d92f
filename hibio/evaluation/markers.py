"""Marker genes of classes, from a GMT file, laid over a model's gene panel."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
from jaxtyping import Bool

from data_pipelines.gene_sets import membership, read_gmt
from data_pipelines.genes import GenePanel


@dataclasses.dataclass(frozen=True)
class Markers:
  """Gene sets that describe classes.

  Attributes:
    names: of the sets that have a gene on the panel.
    membership: their genes.
    coverage: in words, how many genes of each set of the file the panel holds.
  """

  names: tuple[str, ...]
  membership: Bool[np.ndarray, "set gene"]
  coverage: str


def read(path: str | os.PathLike, panel: GenePanel) -> Markers:
  """The sets of a GMT file; unlike those of a corpus they may be small and share their genes.

  Raises:
    BadInputError: not a GMT file, or none of its genes is on the panel.
  """
  sets = read_gmt(path)
  names, members, _ = membership(sets, panel, min_genes=1, max_genes=len(panel), max_jaccard=1.0)
  found = dict(zip(names, members.sum(1).tolist(), strict=True))
  coverage = ", ".join(f"{name} {found.get(name, 0)}/{len(sets[name])}" for name in sets)
  return Markers(names, members, f"marker genes on the panel: {coverage}")
