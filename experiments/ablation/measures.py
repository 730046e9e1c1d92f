"""What presets are compared by: one figure of each protocol, and the words for it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence

from hibio.evaluation.readings import RULE
from hibio.evaluation.rows import Row, lower_is_better

MODEL = "hibio"


@dataclasses.dataclass(frozen=True)
class Measure:
  """One column.

  Attributes:
    name: short, for columns and files.
    phrase: what goes into a sentence: "labels from expression".
    task, protocol, metric: of its rows; the protocol is a pattern.
    sees: what of a method is measured: "image", "gene", "fused", or "" for the method as a whole.
    unit: what a row's parts are; "" where its parts are no sample of anything.
    control: what a control's name has before the method's.
  """

  name: str
  phrase: str
  task: str
  protocol: str
  metric: str
  sees: str = ""
  unit: str = "section"
  control: str = ""

  @property
  def lower_is_better(self) -> bool:
    return lower_is_better(self.metric) or self.metric == "section_ari"

  def row(self, rows: Iterable[Row], method: str = MODEL, sees: str | None = None) -> Row | None:
    """The method's figure among some rows; None where there is none.

    Args:
      sees: what of the method, in place of the measure's own.
    """
    sees = self.sees if sees is None else sees
    wanted = self.control + (f"{method}/{sees}" if sees else method)
    return next(
      (
        row
        for row in rows
        if (row.task, row.metric, row.method) == (self.task, self.metric, wanted)
        and row.value is not None
        and re.search(self.protocol, row.protocol)
      ),
      None,
    )

  def baseline_row(self, rows: Sequence[Row], method: str) -> Row | None:
    """A baseline's figure, by the most that it sees and the measure allows.

    Where both modalities may be seen, a baseline that sees one is in the table too; coordinates,
    which see neither, are everywhere.
    """
    # A baseline's features are what they are; only models have anchors to read them by.
    plain = self.sees.partition("@")[0]
    allowed = ("fused", "gene", "image") if plain == "fused" else (plain,)
    found = (self.row(rows, method, sees) for sees in (self.sees, *allowed, "position"))
    return next((row for row in found if row is not None), None)

  def units(self, row: Row) -> dict[str, float]:
    """The figure of each unit; of the whole where there is only that."""
    parts = {name: value for name, value in row.parts.items() if value is not None}
    return parts if self.unit and parts else {"all": row.value}


_PROBE, _KMEANS = r"^linear probe", r"^k-means.*no smoothing$"
_GENE_SETS = "^zero-shot by gene sets"
_PER_SECTION = "balanced_accuracy_per_section"

GROUPS: dict[str, tuple[Measure, ...]] = {
  "From H&E": (
    Measure("expression", "expression from H&E", "expression", "^ridge_cv, log1p_cp10k, hvg50",
            "pearson_in_section", "image"),
    Measure("reduced rank", "the same by reduced rank and nearest spots", "expression",
            r"^reduced_rank \+ nearest, log1p_cp10k, hvg50", "pearson_in_section", "image"),
    Measure("readout", "expression by the readout", "expression",
            "^(stored )?readout, log1p_cp10k, hvg50", "pearson_in_section", "image"),
    Measure("labels, image", "labels from H&E", "annotation", _PROBE, _PER_SECTION, "image"),
    Measure("domains, image", "domains from H&E", "domains", _KMEANS, "ari", "image"),
    Measure("anchor domains, image", "domains by anchors from H&E", "domains", _KMEANS, "ari",
            "image@anchors"),
    Measure("domains by rule, image", "domains from H&E as the rule reads them", "domains",
            _KMEANS, "ari", f"image{RULE}"),
    Measure("activity, image", "activity of gene sets by anchors, from H&E", "anchors", "",
            "correlation", "image", unit="gene set"),
    Measure("activity by ridge, image", "the same by a ridge", "anchors", "", "correlation",
            "image@ridge", unit="gene set"),
    Measure("anchors, image", "zero-shot classes from H&E", "annotation", _GENE_SETS,
            "auroc_per_section", "image"),
    Measure("random sets, image", "the same by random sets, from H&E", "annotation", _GENE_SETS,
            "auroc_per_section", "image", control="random sets, "),
  ),
  "From expression": (
    Measure("labels, gene", "labels from expression", "annotation", _PROBE, _PER_SECTION, "gene"),
    Measure("labels, gene beside pca", "the same beside components of the counts", "annotation",
            _PROBE, _PER_SECTION, "gene@pca"),
    Measure("domains, gene", "domains from expression", "domains", _KMEANS, "ari", "gene"),
    Measure("anchor domains, gene", "domains by anchors from expression", "domains", _KMEANS,
            "ari", "gene@anchors"),
    Measure("domains by rule, gene", "domains from expression as the rule reads them", "domains",
            _KMEANS, "ari", f"gene{RULE}"),
    Measure("anchors, gene", "zero-shot classes from expression", "annotation", _GENE_SETS,
            "auroc_per_section", "gene"),
    Measure("random sets, gene", "the same by random sets, from expression", "annotation",
            _GENE_SETS, "auroc_per_section", "gene", control="random sets, "),
    Measure("keyword purity", "purity of keyword genes", "keywords", "", "purity"),
    Measure("housekeeping", "housekeeping among keyword genes", "keywords", "",
            "housekeeping_share"),
  ),
  "From both": (
    Measure("image to gene", "retrieval of profiles by patches, R@5", "retrieval",
            "^image_to_gene, gallery: own section", "recall@5"),
    Measure("gene to image", "retrieval of patches by profiles, R@5", "retrieval",
            "^gene_to_image, gallery: own section", "recall@5"),
    Measure("regions to gene", "retrieval of regions' profiles by their H&E, R@1",
            "region_retrieval", "image_to_gene, gallery: own section", "recall@1"),
    Measure("regions across sections", "the same among the regions of all sections of the donor",
            "region_retrieval", "image_to_gene, gallery: own donor", "recall@1"),
    Measure("contrast", "the spot contrast", "contrast", "", "loss/spot", unit="batch"),
    Measure("labels, both", "labels from both", "annotation", _PROBE, _PER_SECTION, "fused"),
    Measure("domains, both", "domains from both", "domains", _KMEANS, "ari", "fused"),
    Measure("anchor domains, both", "domains by anchors from both", "domains", _KMEANS, "ari",
            "fused@anchors"),
    Measure("domains by rule, both", "domains from both as the rule reads them", "domains",
            _KMEANS, "ari", f"fused{RULE}"),
    Measure("regions", "regions cut to domains", "domains", "^region level 1 cut", "ari", "fused"),
  ),
  "All sections together": (
    Measure("pooled, image", "pooled domains from H&E", "pooled_domains", "centred in each section",
            "ari", "image", unit=""),
    Measure("pooled, gene", "pooled domains from expression", "pooled_domains",
            "centred in each section", "ari", "gene", unit=""),
    Measure("pooled anchors, image", "pooled domains by anchors from H&E", "pooled_domains",
            "centred in each section", "ari", "image@anchors", unit=""),
    Measure("pooled anchors, gene", "pooled domains by anchors from expression", "pooled_domains",
            "centred in each section", "ari", "gene@anchors", unit=""),
    Measure("section, image", "section identity in clusters from H&E", "pooled_domains",
            "as they are", "section_ari", "image", unit=""),
    Measure("section, gene", "section identity in clusters from expression", "pooled_domains",
            "as they are", "section_ari", "gene", unit=""),
  ),
}  # fmt: skip
"""Measures that stand in one table, since methods that answer one of them see the same."""

MEASURES = tuple(measure for group in GROUPS.values() for measure in group)
