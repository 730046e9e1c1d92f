"""Whether the parts of a corpus fit together: an intact one may have been made so, or put together.

What is not looked at here would be read all the same, out of its place or as something else.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from data_pipelines.preparation import manifest as manifests
from data_pipelines.preparation import spatial_genes
from data_pipelines.problems import BadInputError

AGAIN = "delete manifest.json and run the same data_pipelines.prepare command again"

_STATISTICS = {
  "num_spots": "section",
  **dict.fromkeys(
    ("measured", "document_frequency", "mean_fraction", "log_mean", "log_std"), "section gene"
  ),
  **dict.fromkeys(("activity_mean", "activity_std"), "section set"),
  **dict.fromkeys(("corpus_document_share", "corpus_mean_fraction", "corpus_spatial"), "gene"),
}
"""Name -> what it has a number for each of."""


@runtime_checkable
class Parts(Protocol):
  """What is asked of a corpus, see `data_pipelines.loading.corpus.Corpus`."""

  path: Path
  manifest: manifests.Manifest
  panel: Any
  statistics: dict[str, np.ndarray]
  spatial_excess: np.ndarray
  membership: np.ndarray
  gene_set_names: tuple[str, ...]
  regions: np.ndarray
  spots: Any


def check(corpus: Parts) -> None:
  """Looks at what is in memory.

  Raises:
    BadInputError: a file that is not there, or is of other sections, spots, genes or gene sets.
  """
  sections = corpus.manifest["sections"]
  for name in corpus.manifest["files"]:
    if not (corpus.path / name).is_file():
      raise BadInputError(corpus.path / name, "file", "none", "a file of the corpus", AGAIN)
  spots = [section["num_spots"] for section in sections]
  for file, found in (
    (manifests.SPOTS, len(corpus.spots)),
    (manifests.STATISTICS, corpus.statistics["num_spots"].sum()),
  ):
    if found != sum(spots):
      raise BadInputError(corpus.path / file, "spots", f"{found:,}", f"{sum(spots):,}", AGAIN)
  for section, offset in zip(sections, itertools.accumulate(spots, initial=0), strict=False):
    if section["spot_offset"] != offset:
      raise BadInputError(
        corpus.path / manifests.FILE, f"spot_offset of {section['section_id']}",
        f"{section['spot_offset']:,}", f"{offset:,}", AGAIN,
      )  # fmt: skip
  _check_arrays(corpus, sum(spots))


def _check_arrays(corpus: Parts, num_spots: int) -> None:
  sizes = {
    "section": len(corpus.manifest["sections"]),
    "gene": len(corpus.panel),
    "set": len(corpus.gene_set_names),
    "level": len(corpus.regions),
    "spot": num_spots,
  }
  arrays = [
    *(
      (manifests.STATISTICS, name, corpus.statistics[name], of) for name, of in _STATISTICS.items()
    ),
    (manifests.STATISTICS, spatial_genes.EXCESS, corpus.spatial_excess, "section gene"),
    (manifests.GENE_SETS, "membership", corpus.membership, "set gene"),
    (manifests.FIRST_REGIONS, "regions", corpus.regions, "level spot"),
  ]
  for file, name, array, of in arrays:
    shape = tuple(sizes[one] for one in of.split())
    if array.shape != shape or array.dtype.kind not in "bif":
      raise BadInputError(
        corpus.path / file, name, f"{array.dtype} of shape {array.shape}",
        f"numbers of shape {shape}, a {of.replace(' ', ' x ')}", AGAIN,
      )  # fmt: skip
