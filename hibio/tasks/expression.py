"""Gene expression from H&E: how well does a frozen image embedding predict a spot's genes?

  questions = fold_expression.prepare(cohort, folds, membership)
  rows = expression.evaluate(questions, "hibio/image")

Every feature answers the same questions, so that a baseline differs from the model in what it has
seen and in nothing else. A feature that has seen expression is no image method, whatever it scores:
its name ends in "/gene".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from hibio.tasks import prediction_scores
from hibio.tasks.fold_expression import FoldGenes, Questions
from hibio.tasks.gene_lists import GENE_LISTS
from hibio.tasks.prediction_scores import Score
from hibio.tasks.protocols import PROTOCOLS, Protocol
from hibio.tasks.rows import Row

Scores = dict[str, Score]
"""Metric -> score of one fold."""

FROM_ONE_FEATURE = tuple(name for name, protocol in PROTOCOLS.items() if not protocol.across)


def evaluate(
  questions: Questions, feature: str, protocols: Sequence[str] = FROM_ONE_FEATURE
) -> Iterator[Row]:
  """Expression predicted from one feature, by each of the named protocols.

  Correlations are averaged over the folds, donors or sections in a row's `parts`.

  Args:
    feature: in the cohort's features. A protocol `across` reads the method's "image" feature and
      its "gene" feature beside it.
    protocols: names in `PROTOCOLS`.
  """
  for name in protocols:
    protocol = PROTOCOLS[name]
    if not questions.folds:
      yield _unanswered(questions, name, feature, questions.reasons)
      continue
    answers: dict[str, dict[str, Scores]] = {}
    for fold in questions.folds:
      for asked, scores in _answers(questions, fold, protocol, feature):
        answers.setdefault(asked, {})[fold.held_out] = scores
    for asked, by_fold in answers.items():
      yield from _rows(questions, f"{name}, {asked}", feature, by_fold)


def evaluate_readout(questions: Questions, name: str, method: str) -> Iterator[Row]:
  """A model's own readout from the image, with nothing fitted.

  It predicts expression standardised in its section: correlations are scored, errors are not.

  Args:
    name: in the cohort's `readout`.
    method: what the rows call it.
  """
  cohort = questions.cohort
  if not questions.folds:
    yield _unanswered(questions, "readout", method, questions.reasons)
    return
  place = np.full(len(questions.column), -1)
  place[cohort.readout_genes] = np.arange(len(cohort.readout_genes))
  for genes_name in GENE_LISTS:
    by_fold = {}
    for fold in questions.folds:
      genes = fold.genes[genes_name]
      genes = genes[place[genes] >= 0]
      if not len(genes):
        continue
      predicted = cohort.readout[name][np.ix_(fold.test, place[genes])]
      note = f"{len(genes)} genes; standardised in its section, nothing fitted"
      by_fold[fold.held_out] = _scores(questions, fold, "log1p_cp10k", genes, predicted, note=note)
    protocol = f"readout, log1p_cp10k, {genes_name}"
    if by_fold:
      yield from _rows(questions, protocol, method, by_fold)
    else:
      yield _unanswered(questions, protocol, method, ("none of the genes is read out",))


def _answers(
  questions: Questions, fold: FoldGenes, protocol: Protocol, feature: str
) -> Iterator[tuple[str, Scores]]:
  """("target, gene list", scores) for all that the protocol is asked."""
  features = questions.cohort.features
  source = feature.replace("/image", "/gene") if protocol.across else feature
  rows = fold.profiles if protocol.across else fold.fit
  spots = questions.cohort.spots.iloc[rows]
  predict = protocol.probe(features[source][rows], spots, features[feature][fold.test])
  for target in protocol.targets:
    for name in protocol.gene_lists:
      genes = fold.genes[name]
      known = questions.expression(target, rows, genes)
      predicted, note = predict(known)
      note = "; ".join(filter(None, (f"{len(genes)} genes", note)))
      scores = _scores(questions, fold, target, genes, predicted, known.mean(0), note)
      yield f"{target}, {name}", scores


def _scores(
  questions: Questions,
  fold: FoldGenes,
  target: str,
  genes: np.ndarray,
  predicted: Float[np.ndarray, "spot gene"],
  fit_mean: Float[np.ndarray, " gene"] | None = None,
  note: str = "",
) -> Scores:
  """Every metric of one answer; errors only where the prediction is on the target's scale."""
  spots = questions.cohort.spots.iloc[fold.test]
  truth = questions.expression(target, fold.test, genes)
  name = fold.held_out
  sections = prediction_scores.by_section(spots, truth, predicted)
  donor_of = dict(zip(spots["section_id"].astype(str), spots["donor_id"].astype(str), strict=True))
  scores = prediction_scores.correlations(name, sections, donor_of)
  if fit_mean is not None:
    scores |= prediction_scores.errors(name, truth, predicted, fit_mean)
    scores |= prediction_scores.relative_variance(name, sections)
  if questions.membership is not None:
    scores |= prediction_scores.pathway_coherence(name, sections, questions.membership[:, genes])
  return {
    metric: dataclasses.replace(score, note="; ".join(filter(None, (note, score.note))))
    for metric, score in scores.items()
  }


def _rows(
  questions: Questions, protocol: str, method: str, by_fold: Mapping[str, Scores]
) -> Iterator[Row]:
  """One row a metric: the mean over its parts, whose spread is their standard deviation."""
  for metric in dict.fromkeys(metric for scores in by_fold.values() for metric in scores):
    found = {fold: scores[metric] for fold, scores in by_fold.items() if metric in scores}
    by_part: dict[str, list[float]] = {}
    for score in found.values():
      for part, value in score.parts.items():
        by_part.setdefault(part, []).append(value)
    # With the sections of one donor as folds the donor comes once a fold.
    parts = {part: float(np.mean(values)) for part, values in by_part.items()}
    values = list(parts.values())
    yield Row(
      "expression",
      questions.cohort.dataset,
      protocol,
      questions.split,
      metric,
      method,
      float(np.mean(values)) if values else None,
      sum(len(fold.test) for fold in questions.folds if fold.held_out in found),
      float(np.mean([score.chance for score in found.values()])),
      " | ".join([*_notes(found), *questions.reasons]),
      float(np.std(values)) if len(values) > 1 else None,
      parts,
    )


def _notes(found: Mapping[str, Score]) -> list[str]:
  """What the folds say, once if they agree; and how much was left out."""
  if len({score.note for score in found.values()}) == 1:
    notes = [score.note for score in list(found.values())[:1] if score.note]
  else:
    notes = [f"{fold}: {score.note}" for fold, score in found.items()]
  undefined = sum(score.undefined for score in found.values())
  return notes + ([f"constant, left out: {undefined} (gene, group) pairs"] if undefined else [])


def _unanswered(questions: Questions, protocol: str, method: str, reasons: Sequence[str]) -> Row:
  return Row(
    "expression",
    questions.cohort.dataset,
    protocol,
    questions.split,
    "pearson_in_section",
    method,
    None,
    0,
    None,
    " | ".join(reasons),
  )
