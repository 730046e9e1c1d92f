"""Which sections a report draws, and how what some spots know is laid out over all of them."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from data_pipelines.loading.corpus import Corpus
from hibio.evaluation.cohort import Cohort
from hibio.report import section_figures
from hibio.report.exhibits import NO_GROUP, Tissue

SHOWN = 3
"""Sections that are drawn."""


class ShownSections:
  """The held-out sections that are wanted; by default up to `SHOWN` of them.

  Labelled ones come first, then those with a picture, then a section of each donor before a second
  one of any.

  Attributes:
    label: the column that maps show beside what was found; "" for none.
    ids: of the sections, in the order they are drawn.
  """

  def __init__(self, corpus: Corpus, held_out: Cohort, label: str = "", wanted: Sequence[str] = ()):
    self._corpus, self.label = corpus, label
    entries = {entry["section_id"]: entry for entry in corpus.manifest["sections"]}
    section = held_out.spots["section_id"].to_numpy()
    names = held_out.spots[label].to_numpy(str) if label else np.full(len(section), "")
    order, of_donor = [], collections.Counter()
    for name, _ in held_out.sections():
      entry = entries[name]
      labelled = bool(set(names[section == name]) - set(NO_GROUP))
      order.append((not labelled, not entry.get("thumbnail"), of_donor[entry["donor_id"]], name))
      of_donor[entry["donor_id"]] += 1
    picked = tuple(name for *_, name in sorted(order, key=lambda one: one[:-1])[:SHOWN])
    self.ids = tuple(wanted) or picked
    section = corpus.spots["section_id"].to_numpy()
    self._rows = {name: np.flatnonzero(section == name) for name in self.ids}

  def tissues(self) -> tuple[Tissue, ...]:
    """Their pictures and spots."""
    return tuple(section_figures.of_corpus(self._corpus, name) for name in self.ids)

  def groups(self, cohort: Cohort, names: np.ndarray) -> Mapping[str, np.ndarray]:
    """Names of a cohort's spots, laid out over the shown sections that have any; "" elsewhere."""
    everywhere = np.full(len(self._corpus.spots), "", dtype=object)
    everywhere[cohort.spots["spot_index"].to_numpy()] = names
    laid_out = {name: everywhere[rows].astype(str) for name, rows in self._rows.items()}
    return {name: groups for name, groups in laid_out.items() if (groups != "").any()}

  def values(
    self, cohort: Cohort, values: Float[np.ndarray, " spot"]
  ) -> Mapping[str, Float[np.ndarray, " spot"]]:
    """Values of a cohort's spots, laid out likewise; not-a-number elsewhere."""
    everywhere = np.full(len(self._corpus.spots), np.nan)
    everywhere[cohort.spots["spot_index"].to_numpy()] = values
    laid_out = {name: everywhere[rows] for name, rows in self._rows.items()}
    return {name: values for name, values in laid_out.items() if np.isfinite(values).any()}

  def of(self, cohort: Cohort) -> Cohort:
    """Only the cohort's spots that lie in the shown sections."""
    return cohort.subset(cohort.spots["section_id"].isin(self.ids).to_numpy())
