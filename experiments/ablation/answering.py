"""Who answers, with their features: one run, or the untrained model and all simple baselines."""

from __future__ import annotations

import jax

from experiments.ablation.asked import Asked, Method
from experiments.ablation.planted_protocols import MARKER_MEAN
from hibio import configs, corpora, forward, keywords, pretrained
from hibio.evaluation import features, gather
from hibio.evaluation.baselines import counts, planted

NOT_ASKED = ("nuclei", "depth")
"""Controls of single tasks in the evaluation."""

Answering = tuple[Asked, list[Method]]
"""Questions with the features of those who answer, and who they are."""


def of_run(model: pretrained.Pretrained, questions: Asked, windows: gather.Windows) -> Answering:
  """A run, by what it sees in these windows."""
  # On the device before the first use: else the same function is compiled twice.
  params = jax.device_put(corpora.params_over(model, questions.corpus), jax.devices()[0])
  frozen = forward.frozen(model.model)
  radius_um = model.objectives.neighbour_radius_um
  method = Method("hibio", params, frozen, model.model.config.keywords, radius_um)
  answered = _embedded(questions, method, windows)
  if windows is not gather.every_window:
    # What is not asked of the embeddings would be as it was.
    method = Method("hibio", params)
  return answered, [method]


def of_baselines(model: pretrained.Pretrained, questions: Asked) -> Answering:
  """The untrained model of the same shape, simple features, and every keyword score."""
  first = corpora.first_window(questions.corpus)
  params = forward.initial_params(model.model, first, questions.tables, model.seed)
  frozen = forward.frozen(model.model)
  radius_um = model.objectives.neighbour_radius_um
  untrained = Method("untrained", params, frozen, model.model.config.keywords, radius_um)
  questions = _embedded(questions, untrained, gather.every_window)
  cohort = features.with_baselines(
    questions.cohort, questions.folds, questions.corpus.membership, {}
  )
  fit = features.unscored(cohort, questions.folds)
  found = dict(cohort.features)
  found["raw top-50/gene"] = counts.expression_pca(
    counts.highest_counts(fit), counts.highest_counts(cohort)
  )
  if "colour/image" in found and len(questions.questions.folds) == len(questions.folds) > 0:
    ridge = features.components_from_colour(cohort, questions.folds)
    found |= {"colour ridge to pca/image": ridge, "colour ridge to pca/gene": found["pca/gene"]}
  if (truth := planted.truth_of(questions.corpus.path)) is not None:
    found |= planted.perfect_features(truth, cohort.spots)
  names = dict.fromkeys(feature.partition("/")[0] for feature in found)
  simple = [Method(name) for name in names if name not in (untrained.name, *NOT_ASKED)]
  scores = [
    Method(score, keywords=configs.KeywordConfig(score=score, spatial_power=0.0))
    for score in keywords.SCORES
  ]
  return questions.with_features(found), [untrained, *simple, MARKER_MEAN, *scores]


def _embedded(questions: Asked, method: Method, windows: gather.Windows) -> Asked:
  cohort = gather.with_model(
    questions.cohort, questions.corpus, method.name, method.frozen, method.params,
    questions.tables, questions.readout_genes, windows,
  )  # fmt: skip
  return questions.answered(
    gather.with_anchors(cohort, method.name, method.params, questions.tables)
  )
