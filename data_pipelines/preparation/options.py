"""The options of preparing a corpus."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from data_pipelines.preparation.regions import REGION_UM
from data_pipelines.problems import BadInputError
from data_pipelines.readers.metadata import Words


@dataclasses.dataclass(frozen=True)
class PrepareOptions:
  """Choices of `data_pipelines.prepare`; the flags of its command line have the same names.

  Attributes:
    gene_sets: GMT files; without one the corpus has no pathways.
    metadata: table of sections, donors, images and labels, as the readers describe it.
    words: what is said of every section of which the table says nothing else.
    gene_names: table of Ensembl ids and symbols, for sections that name genes differently.
    panel: `panel.tsv` of another corpus, to prepare data for a model trained there.
    extend_panel: `panel.tsv` of a checkpoint to finetune: its genes first, in its order, then those
      of this corpus that it lacks.
    patch_px: side of a stored patch.
    patch_um: side of a patch on the tissue.
    window_spots: most spots of a window.
    test_donors: donors to hold out; None: a quarter.
    validation_donors: donors to look at while training; None: one of four or more.
    min_counts: spots with fewer counts over the panel are dropped.
    min_genes: and spots with counts of fewer genes of the panel.
    sections: only these; None: every section found.
    min_document_share: a gene must be detected in this share of the training spots.
    max_genes: most genes of the panel; None: no limit.
    region_um: side of a region at each level, finest first.
    skip_bad: leave out sections that cannot be used; else the first ends the work.
    beam: arguments of Apache Beam, whose workers then take the place of processes here.
  """

  gene_sets: tuple[Path, ...] = ()
  metadata: Path | None = None
  words: Words = Words()
  gene_names: Path | None = None
  panel: Path | None = None
  extend_panel: Path | None = None
  patch_px: int = 32
  patch_um: float = 112.0
  window_spots: int = 64
  test_donors: tuple[str, ...] | None = None
  validation_donors: tuple[str, ...] | None = None
  min_counts: int = 1
  min_genes: int = 1
  sections: tuple[str, ...] | None = None
  min_document_share: float = 0.005
  max_genes: int | None = None
  region_um: tuple[float, ...] = REGION_UM
  skip_bad: bool = False
  beam: str = ""

  def __post_init__(self):
    if self.panel and self.extend_panel:
      raise BadInputError(
        "--extend_panel",
        "value",
        f"{self.extend_panel}, and --panel={self.panel}",
        "one of the two",
        "leave out --panel to add genes, or --extend_panel to add none",
      )
    for name, low, high in (
      ("patch_px", 8, 1024),
      ("patch_um", 10, 2000),
      ("window_spots", 4, 4096),
      ("min_counts", 1, 1_000_000),
      ("min_genes", 1, 1_000_000),
      ("min_document_share", 0, 1),
      ("max_genes", 1, 1_000_000),
    ):
      value = getattr(self, name)
      if value is not None and not low <= value <= high:
        raise BadInputError(
          f"--{name}", "value", str(value), f"{low} to {high}", "choose a value in this range"
        )
