"""The simple methods that a model has to beat, `BASELINES`: one file and one line each.

To add one, write a function of `Given` in a file of this folder, and a line below. The tasks probe
its features as they probe a model's.
"""

from __future__ import annotations

from hibio.evaluation.baselines import counts, image, neighbours, planted
from hibio.evaluation.baselines.base import ABOUT_IMAGES, Baseline, Given

__all__ = ("BASELINES", "MAJORITY", "MARKER_MEAN", "ORACLE", "Baseline", "Given", "is_control")

IMAGE, GENE, POSITION = ("image",), ("gene",), ("position",)

MAJORITY, MARKER_MEAN, ORACLE = "majority class", "marker mean", "oracle"
HVG, SVG = "most variable (HVG)", "most spatial (Moran's I)"

BASELINES: dict[str, Baseline] = {
  "colour": Baseline(IMAGE, tasks=ABOUT_IMAGES, of_patches=image.colour),
  "texture": Baseline(IMAGE, tasks=ABOUT_IMAGES, of_patches=image.texture),
  "nuclei": Baseline(IMAGE, tasks=("expression",), of_patches=image.nuclei),
  "pca": Baseline(GENE, counts.pca),
  "pca + 6 neighbours": Baseline(GENE, neighbours.pca_around),
  "banksy-style 0.2": Baseline(GENE, neighbours.banksy_visium),
  "banksy-style 0.8": Baseline(GENE, neighbours.banksy_domains),
  "raw top-50": Baseline(GENE, counts.top_50, control=True),
  "depth": Baseline(GENE, counts.depth, tasks=("expression",), control=True),
  "gene sets": Baseline(GENE, counts.gene_sets),
  "colour + 18 neighbours": Baseline(IMAGE, neighbours.colour_around, tasks=ABOUT_IMAGES),
  "coordinates": Baseline(POSITION, neighbours.places),
  "colour ridge to pca": Baseline(
    ("image", "gene"), counts.colour_to_components, tasks=("retrieval", "region_retrieval")
  ),
  "expression oracle": Baseline(GENE, planted.expression_oracle, control=True),
  "image oracle": Baseline(IMAGE, planted.image_oracle, tasks=ABOUT_IMAGES, control=True),
  MAJORITY: Baseline(tasks=("annotation",), control=True),
  MARKER_MEAN: Baseline(tasks=("zero_shot",)),
  ORACLE: Baseline(tasks=("keywords",), control=True),
  HVG: Baseline(tasks=("keywords",)),
  SVG: Baseline(tasks=("keywords",)),
}
"""Name -> baseline, in the order that their features are made in."""


def is_control(method: str) -> bool:
  """Whether a method of a table, as "depth/gene", is a control."""
  baseline = BASELINES.get(method.partition("/")[0])
  return baseline is not None and baseline.control
