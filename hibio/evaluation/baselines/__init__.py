"""The simple methods that a model has to beat, `BASELINES`: one file and one line each.

To add one, write a function of `Given` in a file of this folder, and a line below. The tasks probe
its features as they probe a model's.
"""

from __future__ import annotations

from hibio.evaluation.baselines import counts, image, neighbours, planted
from hibio.evaluation.baselines.base import ABOUT_IMAGES, Baseline, Given

__all__ = (
  "BASELINES",
  "COMPONENTS",
  "MAJORITY",
  "MARKER_MEAN",
  "ORACLE",
  "Baseline",
  "Given",
  "is_control",
)

IMAGE, GENE, POSITION = ("image",), ("gene",), ("position",)

MAJORITY, MARKER_MEAN, ORACLE = "majority class", "marker mean", "oracle"
COMPONENTS = "pca"
HVG, SVG = "most variable (HVG)", "most spatial (Moran's I)"

BASELINES: dict[str, Baseline] = {
  "colour": Baseline(
    IMAGE,
    tasks=ABOUT_IMAGES,
    of_patches=image.colour,
    about="means and percentiles of the patch's colours",
    headline=("annotation",),
  ),
  "texture": Baseline(
    IMAGE,
    tasks=ABOUT_IMAGES,
    of_patches=image.texture,
    about="gradients, local binary patterns and co-occurrence of grey levels",
  ),
  "nuclei": Baseline(
    IMAGE, tasks=("expression",), of_patches=image.nuclei, about="number of nuclei in the patch"
  ),
  COMPONENTS: Baseline(
    GENE,
    counts.pca,
    about="principal components of log-normalised expression",
    tree=True,
    headline=("annotation", "domains"),
  ),
  "pca + 6 neighbours": Baseline(
    GENE,
    neighbours.pca_around,
    about="principal components, averaged over the nearest spots",
    headline=("annotation", "domains"),
  ),
  "banksy-style 0.2": Baseline(
    GENE,
    neighbours.banksy_visium,
    about="expression beside its mean and gradient over the nearest spots, weighted as for Visium",
  ),
  "banksy-style 0.8": Baseline(
    GENE,
    neighbours.banksy_domains,
    about="expression beside its mean and gradient, weighted as for domains of single cells",
  ),
  "raw top-50": Baseline(
    GENE, counts.top_50, control=True, about="components of the spot's 50 highest counts alone"
  ),
  "depth": Baseline(
    GENE,
    counts.depth,
    tasks=("expression",),
    control=True,
    about="the number of molecules of the spot",
  ),
  "gene sets": Baseline(
    GENE, counts.gene_sets, about="activity of the corpus' gene sets, without a model"
  ),
  "colour + 18 neighbours": Baseline(
    IMAGE,
    neighbours.colour_around,
    tasks=ABOUT_IMAGES,
    about="colour, averaged over the nearest spots",
  ),
  "coordinates": Baseline(
    POSITION, neighbours.places, about="where a spot lies, and nothing else", tree=True
  ),
  "features": Baseline(
    IMAGE,
    image.frozen,
    tasks=ABOUT_IMAGES,
    about="what the model itself reads: features of the frozen encoder, without a model",
    in_units=True,
    headline=("annotation", "domains"),
  ),
  "features (untrained)": Baseline(
    IMAGE,
    image.frozen_untrained,
    tasks=ABOUT_IMAGES,
    about="the same of the encoder with random weights",
    in_units=True,
  ),
  "colour ridge to pca": Baseline(
    ("image", "gene"),
    counts.to_components("colour/image"),
    tasks=("retrieval", "region_retrieval"),
    about="principal components predicted from colour",
  ),
  "features ridge to pca": Baseline(
    ("image", "gene"),
    counts.to_components("features/image"),
    tasks=("retrieval", "region_retrieval"),
    about="principal components predicted from the features that the model reads",
  ),
  "expression oracle": Baseline(
    GENE,
    planted.expression_oracle,
    control=True,
    about="expression of synthetic tissue without the noise of counting",
  ),
  "image oracle": Baseline(
    IMAGE,
    planted.image_oracle,
    tasks=ABOUT_IMAGES,
    control=True,
    about="all that the image of synthetic tissue shows",
  ),
  MAJORITY: Baseline(tasks=("annotation",), control=True, about="always the most frequent class"),
  MARKER_MEAN: Baseline(tasks=("zero_shot",), about="mean expression of a class' marker genes"),
  ORACLE: Baseline(
    tasks=("keywords",), control=True, about="reads the genes planted in synthetic tissue"
  ),
  HVG: Baseline(tasks=("keywords",), about="the genes of highest variance in the section"),
  SVG: Baseline(tasks=("keywords",), about="the genes of highest Moran's I in the section"),
}
"""Name -> baseline, in the order that their features are made in."""


def is_control(method: str) -> bool:
  """Whether a method of a table, as "depth/gene", is a control."""
  baseline = BASELINES.get(method.partition("/")[0])
  return baseline is not None and baseline.control
