"""Genes as measured beside genes as predicted from H&E: the best, the middling and the worst."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler

from experiments.report.correlated import LISTED, at_quantiles, in_sections, in_words, mean_defined
from experiments.report.exhibits import Absent, MapRow, ValueMap
from experiments.report.shown_sections import ShownSections
from hibio.tasks import expression
from hibio.tasks.cohort import Cohort
from hibio.tasks.folds import Fold, described

FEATURE = "hibio/image"
NUM_GENES = 50
_TITLE = "Genes as measured and as predicted"
_ALPHAS = tuple(10.0**power for power in range(-1, 6))


def expression_maps(
  cohort: Cohort, folds: Sequence[Fold], shown: ShownSections, symbols: Sequence[str]
) -> tuple[list[MapRow], list[Absent]]:
  """Two rows of maps, or the reason why there is none.

  The genes are the most variable ones of the donors that the model was trained on. Which four of
  them are drawn is decided by their place among all, not by what looks good.

  Args:
    symbols: of the panel.
  """
  fit = cohort.split("train")
  if not len(fit.spots) or not folds:
    why = "no spot of a training donor has an image and counts to fit on"
    return [], [Absent("expression", _TITLE, why)]
  genes = expression.variable_genes(fit, NUM_GENES)
  drawn = list(_predicted(cohort, folds, genes))
  scores = [in_sections(c, c.log_expression(genes), p) for c, p in drawn]
  score = mean_defined(scores)
  of_section = {name: r for one in scores for name, r in one.items()}
  rows = []
  for pair in at_quantiles(score):
    maps = []
    for place, gene in pair:
      name = symbols[genes[gene]]
      measured, predicted = {}, {}
      for held_out, values in drawn:
        truth = held_out.log_expression(genes[gene : gene + 1])[:, 0]
        measured |= shown.values(held_out, truth)
        predicted |= shown.values(held_out, values[:, gene])
      figures = {section: in_words(r[gene]) for section, r in of_section.items()}
      maps.append(ValueMap(f"{name}, measured", "log1p(CP10k)", measured))
      maps.append(ValueMap(f"{name}, from H&E ({place})", "log1p(CP10k)", predicted, figures))
    which = " and ".join(place for place, _ in pair)
    told = "" if rows else _explained(len(genes), folds)
    rows.append(MapRow("expression", f"{_TITLE}: {which}", told, maps))
  return rows, []


def _explained(count: int, folds: Sequence[Fold]) -> str:
  return (
    f"The {count} most variable genes of the training donors, predicted by ridge from the frozen "
    f"image embedding, {described(folds)}. They are sorted by their mean correlation within the "
    f"held-out sections; {LISTED} are drawn. r: correlation in the section."
  )


def _predicted(cohort: Cohort, folds: Sequence[Fold], genes: np.ndarray):
  """(spots held out, their predicted log expression), a fold each."""
  for fold in folds:
    fit, held_out = fold.split(cohort)
    scaler = StandardScaler().fit(fit.features[FEATURE])
    ridge = RidgeCV(_ALPHAS).fit(scaler.transform(fit.features[FEATURE]), fit.log_expression(genes))
    yield held_out, ridge.predict(scaler.transform(held_out.features[FEATURE]))
