"""What the names in a row mean, for a reader who has not seen the code.

A name that is not here stands as it is: protocols are written to be read.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence

from hibio.evaluation.baselines import BASELINES
from hibio.evaluation.rows import seen


@dataclasses.dataclass(frozen=True)
class Task:
  """A task for a reader.

  Attributes:
    explained: what is measured.
    reading: how to read its table: chance, and who it has to be compared with.
  """

  title: str
  explained: str = ""
  reading: str = ""


TASKS = {
  "retrieval": Task(
    "Retrieval between image and expression",
    "Each H&E patch searches a gallery of expression profiles for its own, by cosine similarity in "
    "the shared space; then each profile searches for its patch.",
    "Recall is the share of queries whose match is among the first k. Chance is k over the size of "
    "the gallery, so compare figures from galleries of one size only. The simple baseline predicts "
    "principal components of expression from colour.",
  ),
  "expression": Task(
    "Gene expression predicted from H&E",
    "A regression on frozen image embeddings predicts the genes of each spot. It is fitted on "
    "other donors, and the genes that count are chosen there too.",
    "A correlation of 0 is chance, 1 is perfect. The simple baselines use the colour, texture or "
    "nuclei of the same patches. Differences between sections make pooled correlations large; "
    "pearson_in_section leaves them out.",
  ),
  "annotation": Task(
    "Annotation of tissue",
    "The label of each spot of a donor that was held out is predicted by a linear classifier on "
    "frozen embeddings, from a few labelled spots, or from gene sets without any label.",
    "Chance for balanced accuracy is one over the number of classes. Compare a figure only with "
    "methods that see the same: the image, the expression, or both.",
  ),
  "domains": Task(
    "Spatial domains",
    "The frozen embeddings of one section are clustered without labels, and the clusters are "
    "compared with the annotation.",
    "For ARI and AMI, 0 is chance and 1 is the annotation itself. Domains are contiguous, so "
    "coordinates alone, without image or expression, score above chance.",
  ),
  "contrast": Task(
    "Pretraining objectives on held-out donors",
    "The losses of pretraining, on batches of donors that the model was not trained on.",
    "Less is better. Chance is the logarithm of the number of candidates in the batch.",
  ),
  "keywords": Task(
    "Keyword genes",
    "Which genes the model's keyword score picks for a spot, beside other scores and beside the "
    "most variable and the most spatially variable genes, the same number for all. In synthetic "
    "tissue, also against the programs planted there.",
    "Purity is the share of picked genes that are planted in the spot; the oracle knows them and "
    "marks the highest value that can be reached. Other chances are those of genes drawn from the "
    "ones that enough spots express.",
  ),
  "anchors": Task(
    "Pathway anchors",
    "How well the similarity of a spot to a pathway's anchor follows the activity of that pathway "
    "in the counts, from the H&E and from the expression. Means over sections, then over gene "
    "sets, with the spread over sets.",
    "A correlation of 0 and an AUROC of 0.5 are chance. Random gene sets of the same sizes and an "
    "untrained model, read in the same way, are the bar. A ridge is fitted to the activities of "
    "the same sets on the other donors, which anchors are not.",
  ),
  "regions": Task(
    "Nested regions",
    "Shape and content of the contiguous regions that the model draws, level by level; means over "
    "sections.",
    "Regions drawn from coordinates alone, which see no tissue, are the bar. Chance for "
    "homogeneity is that of labels that have changed places within the section; shapes have none.",
  ),
}
"""Task -> what a reader has to know of it, in the order of the page."""

_Pattern = tuple[str, str]
"""(regular expression, explanation)."""

_PROTOCOLS: tuple[_Pattern, ...] = (
  (r"^hest_readme", "the published HEST-Bench recipe: standardised, PCA to at most 256 components,"
   " ridge without intercept, log1p of raw counts, correlation over all spots of a fold"),
  (r"^hest_no_pca", "the HEST-Bench recipe without its PCA"),
  (r"^ridge_cv", "ridge regression, its penalty chosen on the fitting donors alone"),
  (r"^reduced_rank", "ridge regression through few patterns that all genes share, fitted within "
   "sections; penalty and number of patterns chosen on the fitting donors alone"),
  (r"^reduced_rank [+] nearest", "averaged with the expression of the nearest fitting spots where "
   "that predicts the fitting donors better"),
  (r"^knn", "mean expression of the nearest spots of the fitting donors"),
  (r"^retrieval,", "mean expression of the spots whose profiles the patch retrieves"),
  (r"^stored readout", "what predict_expression uses, stored with the checkpoint; fitted on the "
   "training sections when training ended, and not here; of features alone it owes nothing to "
   "training, and is the same for every model of these sections"),
  (r"^readout", "the model's own readout head; nothing is fitted"),
  (r"log1p_cp10k", "targets: log1p of counts per 10,000"),
  (r"log1p_raw", "targets: log1p of raw counts, which also hold sequencing depth"),
  (r"\bhvg(?=\d)", "genes: the most variable ones"),
  (r"\bheg(?=\d)", "genes: the most expressed ones"),
  (r"^linear probe", "logistic regression on the frozen embedding"),
  (r"random spot|LEAKY", "neighbouring spots lie on both sides of the split: comparable with the"
   " literature, but no measure of generalisation"),
  (r"few.?shot", "only a few labelled spots of each class are used"),
  (r"zero.?shot", "no label is used: classes are described by gene sets"),
  (r"k-?means", "k-means in each section; the number of clusters is given"),
  (r"[Ww]ard|agglomerative", "bottom-up clustering by Ward's criterion"),
  (r"[Ll]eiden", "communities of the graph of nearest neighbours in the embedding"),
  (r"region", "the model's nested, contiguous regions"),
  (r"image_to_gene", "the query is a patch, the gallery holds expression profiles"),
  (r"gene_to_image", "the query is an expression profile, the gallery holds patches"),
)  # fmt: skip

_METRICS: tuple[tuple[str, str, str], ...] = (
  (r"^recall@\d+$", "recall@k", "share of queries whose match is among the first k"),
  (r"^recall@\d+%", "recall@k%", "the same, among the first k % of the gallery"),
  (r"^near_recall", "near_recall@k", "the match or one of its spatial neighbours counts"),
  (r"^label_recall", "label_recall@k", "any spot of the query's label counts"),
  (r"^median_rank_share", "median_rank_share", "median rank of the match over the gallery's size"),
  (r"^median_rank", "median_rank", "median rank of the match"),
  (r"^mrr", "mrr", "mean of one over the rank of the match"),
  (r"^section_identity", "section_identity", "share of first hits that are of the query's section"),
  (r"^donor_identity", "donor_identity", "share of first hits that are of the query's donor"),
  (r"^pearson_in_section", "pearson_in_section",
   "correlation over the spots of a section, averaged over genes and sections"),
  (r"^pearson", "pearson", "correlation of predicted and measured values, averaged over genes"),
  (r"^relative_variance", "relative_variance", "variance of the prediction over that measured"),
  (r"^pathway_coherence", "pathway_coherence",
   "correlation of the genes of a gene set, averaged over sets; random sets are chance"),
  (r"^balanced_accuracy", "balanced_accuracy", "share of spots called right, mean over classes"),
  (r"^macro_f1", "macro_f1", "F1 score, averaged over classes"),
  (r"^weighted_f1", "weighted_f1", "F1 score, classes weighted by their spots"),
  (r"^auroc", "auroc", "probability that a spot of the class scores above one outside it"),
  (r"^ari", "ari", "adjusted Rand index: 1 is the annotation itself, 0 is chance"),
  (r"^nmi", "nmi", "normalised mutual information; chance is above 0"),
  (r"^ami", "ami", "adjusted mutual information: 0 is chance"),
  (r"^homogeneity", "homogeneity", "1 where every cluster holds one label only"),
  (r"^regions_per_section", "regions_per_section",
   "how many regions a section has; not a measure of quality"),
  (r"^layer_f1", "layer_f1", "F1 score of each label, labels and clusters matched one to one"),
  (r"^chaos", "chaos", "mean distance to the nearest spot of the same cluster; uses no label"),
  (r"^pas", "pas", "share of spots unlike most of their neighbours; uses no label"),
  (r"^mse", "mse", "mean squared error"),
  (r"^mae", "mae", "mean absolute error"),
  (r"^(largest|smallest|median spots|regions)$", "largest, smallest, median spots, regions",
   "size and number of regions; not a measure of quality"),
  (r"^loss/spot$", "loss/spot", "contrast of each patch with the profiles of its batch, in nats"),
  (r"^loss/", "loss/…", "the named loss of pretraining"),
  (r"^purity", "purity", "share of the keyword genes that are planted in the spot"),
  (r"^housekeeping", "housekeeping_…",
   "share of housekeeping genes among those picked; by weight: as much as the model reads of them"),
  (r"^morans_i_shuffled", "morans_i_shuffled_spots",
   "Moran's I after the spots have changed places: a control, near 0"),
  (r"^morans_i", "morans_i", "Moran's I of the genes picked: 0 no pattern over tissue, 1 smooth"),
  (r"^single_count", "single_count_share",
   "share of what is picked in spots that rests on a single molecule"),
  (r"^jaccard", "jaccard_…_donor",
   "genes common to the lists of two sections, of one donor or of two, over genes in either"),
  (r"^correlation", "correlation", "of a set's activity and the similarity to its anchor"),
  (r"^beyond 95%", "beyond 95% of random sets",
   "share of sets whose correlation is above that of 95 % of the model's random sets"),
  (r"^in one piece", "in one piece", "share of regions whose spots hang together"),
  (r"^inside one", "inside one coarser", "share of regions that lie in one coarser region"),
)  # fmt: skip

_METHODS: tuple[tuple[str, str, str], ...] = (
  (r"@anchors$", "…@anchors", "read by its similarities to the pathway anchors"),
  (r"@most coherent$", "…@most coherent",
   "by the embedding, its anchors or both: what hangs together best, chosen without labels"),
  (r"@ridge$", "…@ridge", "activities by a ridge on the image feature, fitted on the other donors"),
  (r"@member genes$", "…@member genes", "anchors of member genes without what was learned"),
  (r"@pca$", "…@pca", "the embedding beside principal components of the counts"),
  (r"@region", "…@region", "averaged over the model's regions"),
  (r"^hibio\b", "hibio", "this checkpoint, frozen"),
  (r"^untrained\b", "untrained", "the same architecture with random weights"),
  (r"^shuffled spots", "shuffled spots", "control: anchors of spots that have changed places"),
  (r"^random sets", "random sets", "control: gene sets of the same sizes drawn at random"),
  (r"^raw$", "raw", "genes by their counts: the most expressed ones"),
  (r"^tf_idf", "tf_idf", "counts weighted down for genes that most spots express"),
  (r"^surprisal", "surprisal", "share of counts beyond the section's mean: what stands out"),
)  # fmt: skip
"""What is not in the registry of baselines, which says what each of them is."""


def task_of(name: str) -> Task:
  """What there is to say of a task; a title alone for an unknown one."""
  return TASKS.get(name, Task(name.replace("_", " ").capitalize()))


def protocol_explained(protocol: str) -> str:
  """What the protocol does, in a sentence; empty where its name has to do."""
  return "; ".join(text for pattern, text in _PROTOCOLS if re.search(pattern, protocol))


def metric_explained(metric: str) -> str:
  """What a metric measures; empty where its name has to do."""
  return next((text for _, text in metrics_explained([metric])), "")


def metrics_explained(metrics: Iterable[str]) -> list[tuple[str, str]]:
  """(name, what it measures) of the metrics that have a word to themselves; a family only once."""
  return _explained(metrics, _METRICS)


def methods_explained(methods: Iterable[str]) -> list[tuple[str, str]]:
  """(name, what it is) of the methods that have a word to themselves; a family only once."""
  baselines = tuple(
    (rf"^{re.escape(name)}(/|$)", name, ("control: " if one.control else "") + one.about)
    for name, one in BASELINES.items()
    if one.about
  )
  return _explained(methods, (*_METHODS, *baselines))


def seen_in_words(what: str) -> str:
  """`rows.seen` for a reader."""
  return {"image": "from H&E", "gene": "from expression", "fused": "from both"}.get(what, "")


def bare(method: str) -> str:
  """A method without what it sees: "pca" for "pca/gene"."""
  return method.partition("/")[0]


def feature_in_words(feature: str) -> str:
  """ "hibio, from both" for "hibio/fused"; of what sees neither, the bare name."""
  return ", ".join(filter(None, (bare(feature), seen_in_words(seen(feature)))))


def _explained(
  names: Iterable[str], table: Sequence[tuple[str, str, str]]
) -> list[tuple[str, str]]:
  """The first line of the table that fits each name, in the order of the names."""
  found: dict[str, str] = {}
  for name in names:
    for pattern, family, text in table:
      if re.search(pattern, name, re.IGNORECASE):
        found.setdefault(family, text)
        break
  return list(found.items())
