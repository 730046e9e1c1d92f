"""Scores of other methods as their benchmarks printed them: for display beside ours, not a rerun.

Their preprocessing, smoothing and ways to reach k domains differ, and where the foundation models
are compared, we do not even know the sections: read an order of magnitude from them, no ranking.
All were read in summaries, none in the original.

Why nothing here is run: most train a network on each section, and they need PyTorch or R, which
this project does not depend on. GraphST on PyPI also is AGPL-3.0 and no longer maintained. What
they gain by averaging over neighbours is in `baselines.neighbours`, which is run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from hibio.evaluation.rows import Row


@dataclasses.dataclass(frozen=True)
class Published:
  """One printed number.

  Attributes:
    method: as its authors call it.
    dataset: what it was measured on.
    protocol: family and protocol, as far as they are told.
    ari: adjusted Rand index.
    num_sections: how many sections it is the mean of; 0 where we do not know.
    citation: where it is printed.
  """

  method: str
  dataset: str
  protocol: str
  ari: float
  num_sections: int
  citation: str


_BENCHMARK = "Hu et al. 2024, Genome Biology, doi 10.1186/s13059-024-03361-0, read in an audit"
_FOUNDATION = "as compared by the authors of STAMP, read in a summary"
_ALL = "trained on each section, k given"
_FROZEN = "frozen foundation model, clustered"


def _domain_method(name: str, ari: float) -> Published:
  return Published(name, "DLPFC", _ALL, ari, 12, _BENCHMARK)


def _foundation_model(name: str, ari: float) -> Published:
  return Published(name, "DLPFC", _FROZEN, ari, 0, _FOUNDATION)


DLPFC = (
  _domain_method("GraphST", 0.557),
  _domain_method("ADEPT", 0.530),
  _domain_method("STAGATE", 0.503),
  _domain_method("BANKSY (about)", 0.469),
  _domain_method("SEDR", 0.411),
  _domain_method("SpaGCN", 0.392),
  _domain_method("BayesSpace (about)", 0.37),
  Published(
    "Seurat, expression only", "DLPFC 151673", "one section, k given", 0.430, 1, _BENCHMARK
  ),
  _foundation_model("STAMP, gene", 0.369),
  _foundation_model("STAMP, fused", 0.342),
  _foundation_model("STAMP, image", 0.246),
  _foundation_model("scGPT-spatial", 0.215),
  _foundation_model("mSTAR", 0.159),
  _foundation_model("H-Optimus-0", 0.147),
  _foundation_model("UNI", 0.144),
  _foundation_model("CONCH", 0.124),
)
"""Human dorsolateral prefrontal cortex, Maynard et al. 2021, doi 10.1038/s41593-020-00787-0."""


_SECTIONS = {12: "all 12 sections", 1: "1 section", 0: "sections not told"}


def rows(numbers: tuple[Published, ...] = DLPFC) -> Iterator[Row]:
  """The numbers as rows, each marked as published and not rerun."""
  for one in numbers:
    yield Row(
      task="domains",
      dataset=one.dataset,
      protocol=f"published, not rerun: {one.protocol}",
      split=_SECTIONS[one.num_sections],
      metric="ari",
      method=one.method,
      value=one.ari,
      n=one.num_sections,
      chance=0.0,
      note=f"published, not rerun; {one.citation}",
    )
