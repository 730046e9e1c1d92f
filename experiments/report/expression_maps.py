"""Genes as measured beside genes as predicted from H&E: the best, the middling and the worst."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from experiments.report.correlated import LISTED, at_quantiles, in_sections, in_words, mean_defined
from experiments.report.exhibits import Absent, MapRow, ValueMap
from experiments.report.shown_sections import ShownSections
from experiments.setting import Setting
from hibio.tasks.cohort import Cohort
from hibio.tasks.folds import described
from hibio.tasks.protocols import PROTOCOLS

FEATURE = "hibio/image"
_TITLE = "Genes as measured and as predicted"
_PROTOCOL, _TARGET, _GENES = "ridge_cv", "log1p_cp10k", "hvg50"

Drawn = tuple[Cohort, Float[np.ndarray, "spot gene"], Float[np.ndarray, "spot gene"]]
"""The spots that a fold holds out, their genes as measured and as predicted."""


def expression_maps(setting: Setting, shown: ShownSections) -> tuple[list[MapRow], list[Absent]]:
  """Two rows of maps, or the reason why there is none.

  The genes are those that are most variable where each fold is fitted, as far as the folds agree.
  Which four of them are drawn is decided by their place among all, not by what looks good.
  """
  folds = setting.questions.folds
  if not folds:
    why = "; ".join(setting.questions.reasons) or "nothing can be held out"
    return [], [Absent("expression", _TITLE, why)]
  genes = functools.reduce(np.intersect1d, [fold.genes[_GENES] for fold in folds])
  if not len(genes):
    return [], [Absent("expression", _TITLE, "the folds have no gene in common")]
  drawn = list(_predicted(setting, genes))
  scores = [in_sections(*one) for one in drawn]
  score = mean_defined(scores)
  of_section = {name: r for one in scores for name, r in one.items()}
  rows = []
  for pair in at_quantiles(score):
    maps = []
    for place, gene in pair:
      name = setting.corpus.panel.symbols[genes[gene]]
      measured, predicted = {}, {}
      for held_out, truth, values in drawn:
        measured |= shown.values(held_out, truth[:, gene])
        predicted |= shown.values(held_out, values[:, gene])
      figures = {section: in_words(r[gene]) for section, r in of_section.items()}
      maps.append(ValueMap(f"{name}, measured", "log1p(CP10k)", measured))
      maps.append(ValueMap(f"{name}, from H&E ({place})", "log1p(CP10k)", predicted, figures))
    which = " and ".join(place for place, _ in pair)
    told = "" if rows else _explained(len(genes), setting)
    rows.append(MapRow("expression", f"{_TITLE}: {which}", told, maps))
  return rows, []


def _explained(count: int, setting: Setting) -> str:
  return (
    f"The {count} genes that vary most in every fold's fitting donors, predicted by {_PROTOCOL} "
    f"from the frozen image embedding, {described(setting.folds)}. They are sorted by their mean "
    f"correlation within the held-out sections; {LISTED} are drawn. r: correlation in the section."
  )


def _predicted(setting: Setting, genes: np.ndarray) -> Iterator[Drawn]:
  asked, cohort = setting.questions, setting.cohort
  features = cohort.features[FEATURE]
  for fold in asked.folds:
    spots = cohort.spots.iloc[fold.fit]
    predict = PROTOCOLS[_PROTOCOL].probe(features[fold.fit], spots, features[fold.test])
    predicted, _ = predict(asked.expression(_TARGET, fold.fit, genes))
    held_out = np.zeros(len(cohort.spots), bool)
    held_out[fold.test] = True
    yield cohort.subset(held_out), asked.expression(_TARGET, fold.test, genes), predicted
