"""Genes and pathways as measured, beside what is read from H&E: the best, the median, the worst."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from data_pipelines.loading.corpus import Corpus
from hibio import pathways
from hibio.batch import Tables
from hibio.evaluation.anchors import correlations
from hibio.evaluation.cohort import Cohort
from hibio.evaluation.expression_probes import PROTOCOLS
from hibio.evaluation.folds import described
from hibio.evaluation.rows import mean_defined
from hibio.evaluation.setting import Setting
from hibio.objectives.pathway import log_probabilities
from hibio.report.exhibits import Absent, MapRow, ValueMap
from hibio.report.shown_sections import ShownSections

_EXPRESSION_TITLE = "Genes as measured and as predicted"
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
    return [], [Absent("expression", _EXPRESSION_TITLE, why)]
  genes = functools.reduce(np.intersect1d, [fold.genes[_GENES] for fold in folds])
  if not len(genes):
    return [], [Absent("expression", _EXPRESSION_TITLE, "the folds have no gene in common")]
  drawn = list(_predicted(setting, genes))
  scores = [in_sections(*one) for one in drawn]
  score = mean_defined(np.stack([r for one in scores for r in one.values()]), axis=0)
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
    told = "" if rows else _expression_explained(len(genes), setting)
    rows.append(MapRow("expression", f"{_EXPRESSION_TITLE}: {which}", told, maps))
  return rows, []


def _expression_explained(count: int, setting: Setting) -> str:
  return (
    f"Ridge regression on what is read of the image predicts the {count} genes that vary most in "
    f"the fitting donors of every fold ({described(setting.folds)}). "
    f"They are sorted by their mean correlation within the held-out sections; {LISTED} are drawn. "
    "r: correlation in the section, 0 is chance. Each map has its own colour scale."
  )


def _predicted(setting: Setting, genes: np.ndarray) -> Iterator[Drawn]:
  asked, cohort = setting.questions, setting.cohort
  features = cohort.features[f"{setting.subject}/image"]
  for fold in asked.folds:
    spots = cohort.spots.iloc[fold.fit]
    predict = PROTOCOLS[_PROTOCOL].probe(features[fold.fit], spots, features[fold.test])
    predicted, _ = predict(asked.expression(_TARGET, fold.fit, genes))
    held_out = np.zeros(len(cohort.spots), bool)
    held_out[fold.test] = True
    yield cohort.subset(held_out), asked.expression(_TARGET, fold.test, genes), predicted


_PATHWAY_TITLE = "Pathways as measured and as seen in the H&E"


def pathway_maps(
  held_out: Cohort,
  shown: ShownSections,
  corpus: Corpus,
  tables: Tables,
  anchors: Float[np.ndarray, "pathway width"],
  scale: float,
) -> tuple[list[MapRow], list[Absent]]:
  """Two rows of maps, or the reason why there is none.

  Args:
    anchors: the model's, unit norm.
    scale: its inverse temperature.
  """
  if not len(anchors):
    return [], [Absent("anchors", _PATHWAY_TITLE, "the corpus was prepared without gene sets")]
  active, seen = _activity_and_probability(held_out, corpus, tables, anchors, scale)
  scores = in_sections(held_out, active, seen)
  score = mean_defined(np.stack(list(scores.values())), axis=0)
  if not np.isfinite(score).any():
    return [], [Absent("anchors", _PATHWAY_TITLE, "no gene set has enough measured genes")]
  rows = []
  for pair in at_quantiles(score):
    maps = []
    for place, pathway in pair:
      name = set_in_words(corpus.gene_set_names[pathway])
      figures = {section: in_words(r[pathway]) for section, r in scores.items()}
      maps.append(ValueMap(f"{name}, measured", "sd", shown.values(held_out, active[:, pathway])))
      maps.append(
        ValueMap(
          f"{name}, from H&E ({place})", "log2", shown.values(held_out, seen[:, pathway]), figures
        )
      )
    which = " and ".join(place for place, _ in pair)
    told = "" if rows else _pathway_explained(int(np.isfinite(score).sum()))
    rows.append(MapRow("anchors", f"{_PATHWAY_TITLE}: {which}", told, maps))
  return rows, []


def _pathway_explained(count: int) -> str:
  return (
    "Measured: activity of the pathway's genes, in standard deviations (sd) of the section. From "
    "H&E: the probability of the pathway's anchor given the image embedding, over an even guess "
    "among all anchors, in powers of two (log2); no count is read. All "
    f"{count:,} pathways are sorted by their mean correlation within the held-out sections; "
    f"{LISTED} are drawn. r: correlation in the section, 0 is chance."
  )


def _activity_and_probability(
  cohort: Cohort,
  corpus: Corpus,
  tables: Tables,
  anchors: Float[np.ndarray, "pathway width"],
  scale: float,
) -> tuple[Float[np.ndarray, "spot pathway"], Float[np.ndarray, "spot pathway"]]:
  """Standardised activity, and log2 probability over an even guess; constant where not measured."""
  row_of = corpus.row_of
  shape = (len(cohort.spots), len(anchors))
  active, seen = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
  for section, rows in cohort.sections():
    index = jnp.array([row_of[section]], jnp.int32)
    counts = jnp.asarray(cohort.counts[rows].toarray().astype(np.int32))[None]
    active[rows] = pathways.standardised_activity(
      counts, tables.statistics, jnp.asarray(tables.membership), index
    )[0]
    measured = pathways.measured_pathways(tables.statistics, jnp.asarray(tables.membership), index)
    measured = jnp.broadcast_to(measured, (len(rows), len(anchors)))
    log_probability = log_probabilities(
      jnp.asarray(cohort.features["hibio/image"][rows]), jnp.asarray(anchors),
      jnp.float32(scale), measured,
    )  # fmt: skip
    even = np.log(max(int(measured[0].sum()), 1))
    seen[rows] = np.where(measured, (np.asarray(log_probability) + even) / np.log(2.0), 0.0)
  return active, seen


PLACES = {"best": 1.0, "upper quartile": 0.75, "median": 0.5, "worst": 0.0}
"""Place among all, by name -> quantile."""

LISTED = "the best, the one at the upper quartile, the median and the worst"
"""`PLACES` for a reader."""


def in_sections(
  cohort: Cohort, one: Float[np.ndarray, "spot thing"], other: Float[np.ndarray, "spot thing"]
) -> dict[str, Float[np.ndarray, " thing"]]:
  """Section id -> Pearson correlation of each column; not-a-number where one side is constant."""
  return {section: correlations(one[rows], other[rows]) for section, rows in cohort.sections()}


def set_in_words(name: str) -> str:
  """The name of a gene set as a title that lines can be broken in: no longer than a caption."""
  first, *more = textwrap.wrap(name.replace("_", " "), 48) or [name]
  return first + " …" * bool(more)


def in_words(r: float) -> str:
  """A correlation for a caption; nothing where it is not defined."""
  return f"r {r:.2f}" if np.isfinite(r) else ""


def at_quantiles(score: Float[np.ndarray, " thing"]) -> list[list[tuple[str, int]]]:
  """(name of the place, index) of the things at `PLACES`, two by two; a thing appears once."""
  order = [index for index in np.argsort(score, kind="stable") if np.isfinite(score[index])]
  chosen: dict[int, str] = {}
  for name, quantile in PLACES.items():
    if order:
      chosen.setdefault(int(order[round(quantile * (len(order) - 1))]), name)
  pairs = [(name, index) for index, name in chosen.items()]
  return [pairs[start : start + 2] for start in range(0, len(pairs), 2)]
