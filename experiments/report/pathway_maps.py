"""Pathways as their genes show them, beside what the anchors read from the H&E alone."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from data_pipelines.loading.corpus import Corpus
from experiments.report.correlated import LISTED, at_quantiles, in_sections, in_words, mean_defined
from experiments.report.exhibits import Absent, MapRow, ValueMap
from experiments.report.shown_sections import ShownSections
from hibio import pathways
from hibio.batch import Tables
from hibio.objectives.pathway import log_probabilities
from hibio.tasks.cohort import Cohort

_TITLE = "Pathways as measured and as seen in the H&E"


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
    return [], [Absent("pathway", _TITLE, "the corpus was prepared without gene sets")]
  active, seen = _activity_and_probability(held_out, corpus, tables, anchors, scale)
  scores = in_sections(held_out, active, seen)
  score = mean_defined([scores])
  if not np.isfinite(score).any():
    return [], [Absent("pathway", _TITLE, "no gene set has enough measured genes")]
  rows = []
  for pair in at_quantiles(score):
    maps = []
    for place, pathway in pair:
      name = corpus.gene_set_names[pathway]
      figures = {section: in_words(r[pathway]) for section, r in scores.items()}
      maps.append(ValueMap(f"{name}, measured", "sd", shown.values(held_out, active[:, pathway])))
      maps.append(
        ValueMap(
          f"{name}, from H&E ({place})", "", shown.values(held_out, seen[:, pathway]), figures
        )
      )
    which = " and ".join(place for place, _ in pair)
    told = "" if rows else _explained(int(np.isfinite(score).sum()))
    rows.append(MapRow("pathway", f"{_TITLE}: {which}", told, maps))
  return rows, []


def _explained(count: int) -> str:
  return (
    "Measured: activity of the pathway's genes, standardised in the section. From H&E: log2 of the "
    "probability that the image embedding gives the pathway's anchor, over an even guess among "
    f"all; no count is read. All {count:,} pathways are sorted by their mean correlation within "
    f"the held-out sections; {LISTED} of them are drawn. r: correlation in the section."
  )


def _activity_and_probability(
  cohort: Cohort,
  corpus: Corpus,
  tables: Tables,
  anchors: Float[np.ndarray, "pathway width"],
  scale: float,
) -> tuple[Float[np.ndarray, "spot pathway"], Float[np.ndarray, "spot pathway"]]:
  """Standardised activity, and log2 probability over an even guess; constant where not measured."""
  section_row = {s["section_id"]: row for row, s in enumerate(corpus.manifest["sections"])}
  shape = (len(cohort.spots), len(anchors))
  active, seen = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
  for section, rows in cohort.sections():
    index = jnp.array([section_row[section]], jnp.int32)
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
