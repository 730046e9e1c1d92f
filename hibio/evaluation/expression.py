"""What each fold asks: which genes, of which spots, and their expression. Made once for all
features, so that every method answers the same question."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from hibio.evaluation import expression_scores, gene_lists
from hibio.evaluation import folds as fold_names
from hibio.evaluation.cohort import Cohort
from hibio.evaluation.expression_probes import PROTOCOLS, Protocol
from hibio.evaluation.expression_scores import Score
from hibio.evaluation.folds import Fold
from hibio.evaluation.gene_lists import GENE_LISTS, TARGETS
from hibio.evaluation.rows import Row
from hibio.readout import Readout


@dataclasses.dataclass(frozen=True)
class FoldGenes:
  """One fold's question.

  Attributes:
    held_out: name of the group that is scored.
    fit: rows of the cohort to fit on: spots with a patch and counts.
    profiles: rows to fit on where counts are enough.
    test: rows to predict: spots with a patch and counts.
    genes: gene list -> panel rows, chosen on `profiles`.
  """

  held_out: str
  fit: Int[np.ndarray, " spot"]
  profiles: Int[np.ndarray, " profile"]
  test: Int[np.ndarray, " query"]
  genes: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Questions:
  """The questions of all folds on one cohort.

  Attributes:
    cohort: what is asked about; features may be added to it later.
    split: the folds in words.
    folds: those that can be asked.
    reasons: why others cannot.
    membership: genes of each gene set over the panel, if there are any.
    values: target -> expression of every spot, for the genes that some list names.
    column: of each panel gene in `values`; -1 if no list names it.
  """

  cohort: Cohort
  split: str
  folds: tuple[FoldGenes, ...]
  reasons: tuple[str, ...]
  membership: Bool[np.ndarray, "pathway gene"] | None
  values: Mapping[str, Float[np.ndarray, "spot listed"]]
  column: Int[np.ndarray, " gene"]

  def expression(
    self, target: str, rows: np.ndarray, genes: np.ndarray
  ) -> Float[np.ndarray, "spot gene"]:
    """Expression of the given spots (rows of the cohort) and genes (rows of the panel)."""
    return self.values[target].take(rows, axis=0).take(self.column[genes], axis=1)


def prepare(
  cohort: Cohort, folds: Sequence[Fold], membership: Bool[np.ndarray, "pathway gene"] | None = None
) -> Questions:
  """Chooses each fold's genes on its fitting spots and lays out the expression to predict.

  Only genes that every section of the fold measures can be asked for. A fold without two spots with
  a patch and counts on both sides, or without such genes, is left out with the reason.
  """
  # Features are wide and not needed here; `row` leads back to the cohort.
  spots = cohort.spots.assign(row=np.arange(len(cohort.spots)))
  bare = dataclasses.replace(cohort, spots=spots, features={}, readout={})
  asked, reasons = [], []
  for fold in folds:
    fit, test = fold.split(bare)
    profiles = fit.subset(fit.spots["has_counts"].to_numpy(bool))
    fit, test = _complete(fit), _complete(test)
    if min(len(fit.spots), len(test.spots)) < 2:
      reasons.append(
        f"{fold.held_out}: spots with patch and counts: {len(fit.spots)} to fit on, "
        f"{len(test.spots)} to score"
      )
      continue
    genes = gene_lists.choose(profiles, gene_lists.measured_everywhere([profiles, test]))
    if not all(map(len, genes.values())):
      reasons.append(f"{fold.held_out}: no gene that every section measures varies")
      continue
    rows = [part.spots["row"].to_numpy() for part in (fit, profiles, test)]
    asked.append(FoldGenes(fold.held_out, *rows, genes))
  listed = np.unique([gene for fold in asked for genes in fold.genes.values() for gene in genes])
  column = np.full(cohort.counts.shape[1], -1)
  column[listed.astype(int)] = np.arange(len(listed))
  values = {
    name: target(cohort.counts)[:, listed.astype(int)].toarray() for name, target in TARGETS.items()
  }
  return Questions(
    cohort,
    fold_names.described(folds),
    tuple(asked),
    tuple(reasons) if folds else ("nothing can be held out",),
    membership,
    values,
    column,
  )


def _complete(cohort: Cohort) -> Cohort:
  return cohort.subset(cohort.spots[["has_patch", "has_counts"]].all(axis=1).to_numpy(bool))


Scores = dict[str, Score]
"""Metric -> score of one fold."""

FROM_ONE_FEATURE = tuple(name for name, protocol in PROTOCOLS.items() if not protocol.across)


def from_feature(
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


def from_readout(
  questions: Questions, name: str, method: str, stored: Readout | None = None
) -> Iterator[Row]:
  """What a model predicts from the image, with nothing fitted here.

  Its own head predicts expression standardised in its section: correlations are scored, errors are
  not. A stored readout predicts log1p of counts per 10,000.

  Args:
    name: in the cohort's `readout`.
    method: what the rows call it.
    stored: where the predictions come from a stored readout.
  """
  cohort = questions.cohort
  what = "readout" if stored is None else "stored readout"
  if not questions.folds:
    yield _unanswered(questions, what, method, questions.reasons)
    return
  place = np.full(len(questions.column), -1)
  place[cohort.readout_genes] = np.arange(len(cohort.readout_genes))
  if stored is not None:
    place[~np.isfinite(stored.mean)] = -1
  units = "standardised in its section" if stored is None else _reads(stored)
  for genes_name in GENE_LISTS:
    by_fold = {}
    for fold in questions.folds:
      genes = fold.genes[genes_name]
      genes = genes[place[genes] >= 0]
      if not len(genes):
        continue
      predicted = cohort.readout[name][np.ix_(fold.test, place[genes])]
      note = f"{len(genes)} genes; {units}, nothing fitted"
      guess = None if stored is None else stored.mean[genes]
      by_fold[fold.held_out] = _scores(
        questions, fold, "log1p_cp10k", genes, predicted, guess, note
      )
    protocol = f"{what}, log1p_cp10k, {genes_name}"
    if by_fold:
      yield from _rows(questions, protocol, method, by_fold)
    else:
      yield _unanswered(questions, protocol, method, ("none of the genes is read out",))


def _reads(stored: Readout) -> str:
  about = stored.about
  return f"{about['choice']}, on {' and '.join(stored.reads)} of {about['sections']} sections"


def _answers(
  questions: Questions, fold: FoldGenes, protocol: Protocol, feature: str
) -> Iterator[tuple[str, Scores]]:
  """("target, gene list", scores) for all that the protocol is asked."""
  cohort = questions.cohort
  read = cohort.in_section_units if protocol.in_section else cohort.features.__getitem__
  source = feature.replace("/image", "/gene") if protocol.across else feature
  rows = fold.profiles if protocol.across else fold.fit
  predict = protocol.probe(read(source)[rows], cohort.spots.iloc[rows], read(feature)[fold.test])
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
  sections = expression_scores.by_section(spots, truth, predicted)
  donor_of = dict(zip(spots["section_id"].astype(str), spots["donor_id"].astype(str), strict=True))
  scores = expression_scores.correlations(name, sections, donor_of)
  if fit_mean is not None:
    scores |= expression_scores.errors(name, truth, predicted, fit_mean)
    scores |= expression_scores.relative_variance(name, sections)
  if questions.membership is not None:
    scores |= expression_scores.pathway_coherence(name, sections, questions.membership[:, genes])
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
