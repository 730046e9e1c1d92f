"""What the names in a row mean, for a reader who has not seen the code.

A name that is not here stands as it is: protocols are written to be read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

TASKS = {
  "retrieval": (
    "Retrieval between image and expression",
    "A patch looks for its own expression profile among the profiles of a gallery, and a profile "
    "for its patch, by cosine in the shared space. The gallery's size decides what is easy: it is "
    "part of every line.",
  ),
  "expression": (
    "Gene expression from H&E",
    "A readout predicts each spot's genes from its frozen image embedding. It is fitted on other "
    "donors; which genes count is decided there too.",
  ),
  "annotation": (
    "Annotation of tissue",
    "A simple classifier on the frozen embedding, or gene sets alone, name the label of each spot "
    "of donors that were not fitted on.",
  ),
  "domains": (
    "Spatial domains",
    "The frozen embeddings of one section are clustered, with no label seen, and the clusters are "
    "compared with the annotation. Names that end in @anchors are clustered by their similarities "
    "to the pathway anchors; gene sets/gene is the activity of the same sets, without a model.",
  ),
  "contrast": (
    "Pretraining objectives on held-out donors",
    "The losses of pretraining, measured on batches of donors that were not trained on. Chance is "
    "the logarithm of the number of choices.",
  ),
  "keywords": (
    "Keyword genes",
    "Which genes a keyword score picks, against the programs planted in synthetic tissue.",
  ),
  "pathway": (
    "Pathways seen in the H&E",
    "What the pathway anchors read from the image alone, beside the activity that the counts show.",
  ),
}
"""Task -> (title, what is done)."""

_PROTOCOLS = (
  (r"^hest_readme", "the published HEST-Bench recipe: standardised, PCA to at most 256 components,"
   " ridge without intercept, log1p of raw counts, correlation over all spots of a fold"),
  (r"^hest_no_pca", "the HEST-Bench recipe without its PCA"),
  (r"^ridge_cv", "ridge whose penalty is chosen on the fitting donors alone"),
  (r"^knn", "the mean expression of the nearest fitted spots"),
  (r"^retrieval", "the mean expression of the spots whose profiles the patch retrieves"),
  (r"^readout", "the model's own readout head; nothing is fitted"),
  (r"^linear probe", "logistic regression on the frozen embedding"),
  (r"random spot|LEAKY", "neighbouring spots lie on both sides of the split: comparable with the"
   " literature, not a measure of generalisation"),
  (r"few.?shot", "only a few labelled spots of each class are seen"),
  (r"zero.?shot", "no label is seen: classes are described by gene sets"),
  (r"k-?means", "k-means in one section; the number of clusters is given"),
  (r"[Ww]ard|agglomerative", "bottom-up clustering with Ward's criterion"),
  (r"[Ll]eiden", "communities of the graph of nearest neighbours in the embedding"),
  (r"region", "the nested, contiguous regions of the model"),
  (r"image_to_gene", "the query is a patch, the gallery holds profiles"),
  (r"gene_to_image", "the query is a profile, the gallery holds patches"),
)  # fmt: skip

_METRICS = (
  (r"^recall@\d+$", "recall@k", "the true item is among the first k of the gallery"),
  (r"^recall@\d+%", "recall@k%", "the true item is among the first k % of the gallery"),
  (r"^near_recall", "near_recall@k", "the true spot or a neighbour of it is among the first k"),
  (r"^label_recall", "label_recall@k", "a spot of the query's label is among the first k"),
  (
    r"^median_rank_share",
    "median_rank_share",
    "median rank of the true item over the gallery's size",
  ),
  (r"^median_rank", "median_rank", "median rank of the true item"),
  (r"^mrr", "mrr", "mean of one over the rank of the true item"),
  (r"^section_identity", "section_identity", "the first hit comes from the right section"),
  (r"^donor_identity", "donor_identity", "the first hit comes from the right donor"),
  (
    r"^pearson_in_section",
    "pearson_in_section",
    "correlation over the spots of a section, mean over genes and sections",
  ),
  (r"^pearson", "pearson", "correlation of predicted and measured values, mean over genes"),
  (r"^balanced_accuracy", "balanced_accuracy", "mean over classes of the share found"),
  (r"^macro_f1", "macro_f1", "mean over classes of the F1 score"),
  (r"^weighted_f1", "weighted_f1", "F1 score, classes weighted by their spots"),
  (r"^auroc", "auroc", "probability that a spot of the class scores above one outside it"),
  (r"^ari", "ari", "adjusted Rand index: 1 is the annotation itself, 0 is chance"),
  (r"^nmi", "nmi", "normalised mutual information"),
  (r"^ami", "ami", "adjusted mutual information: 0 is chance"),
  (r"^homogeneity", "homogeneity", "1 where every cluster holds one label only"),
  (r"^chaos", "chaos", "mean distance to the nearest spot of the same cluster; no label is used"),
  (r"^pas", "pas", "share of spots unlike most of their neighbours; no label is used"),
  (r"^mse", "mse", "mean squared error"),
  (r"^mae", "mae", "mean absolute error"),
  (r"^loss/(\w+)", "loss/…", "the named loss of pretraining"),
  (r"^purity", "purity", "share of the keyword genes that are planted in the spot"),
  (
    r"^housekeeping_share",
    "housekeeping_share",
    "share of the keyword genes that are housekeeping genes",
  ),
)


def seen_in_words(what: str) -> str:
  """`rows.seen` for a reader."""
  return {"image": "from H&E", "gene": "from expression", "fused": "from both"}.get(what, "")


def task_title(task: str) -> str:
  """The task's name for a heading."""
  return TASKS.get(task, (task.replace("_", " ").capitalize(), ""))[0]


def task_explained(task: str) -> str:
  """What is done, in a sentence or two; empty for an unknown task."""
  return TASKS.get(task, ("", ""))[1]


def protocol_explained(protocol: str) -> str:
  """What the protocol does, in a sentence; empty where its name has to do."""
  return "; ".join(text for pattern, text in _PROTOCOLS if re.search(pattern, protocol))


def metrics_explained(metrics: Iterable[str]) -> list[tuple[str, str]]:
  """(name, what it measures) of the metrics that have a word to themselves; a family only once."""
  found: dict[str, str] = {}
  for metric in metrics:
    for pattern, name, text in _METRICS:
      if re.search(pattern, metric, re.IGNORECASE):
        found.setdefault(name, text)
        break
  return list(found.items())
