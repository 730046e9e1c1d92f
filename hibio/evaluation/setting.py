"""What is asked about: every task reads one `Setting` and answers for one `Method`."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.loading.corpus import Corpus
from hibio import corpora, pretrained
from hibio.batch import Tables
from hibio.evaluation import expression, gather, housekeeping, readings, scope
from hibio.evaluation import predictions as predictions_
from hibio.evaluation.cohort import Cohort
from hibio.evaluation.domains import region_mean
from hibio.evaluation.expression import Questions
from hibio.evaluation.folds import Fold, folds_of
from hibio.evaluation.gene_sets import GeneSets, Markers
from hibio.evaluation.housekeeping import Housekeeping
from hibio.evaluation.methods import MODEL, Method
from hibio.evaluation.predictions import Predictions


@dataclasses.dataclass(frozen=True, eq=False)
class Setting:
  """One evaluation: a corpus, how its donors are held out, and every method's features of it.

  Attributes:
    model: the checkpoint that is evaluated. What every method is told of how common genes are
      comes from it, so that the donors that are scored have no say; without a checkpoint, from the
      training sections of the corpus.
    corpus: what it is evaluated on.
    tables: of the corpus, with the checkpoint's background of genes.
    cohort: every spot with every method's features.
    donors: who is scored.
    folds: how they are held out.
    questions: the folds' genes, for the prediction of expression.
    labels: label columns to score.
    housekeeping: which panel genes are housekeeping genes.
    methods: who answers, the model first.
    thorough: every protocol of a full evaluation; else the headline ones that ablations compare.
    markers: gene sets that describe classes, if any were given.
    held_out_sets: gene sets that the model was not trained with, if any were given.
    kept: what was computed once for several readers; see `once`.
  """

  model: pretrained.Pretrained | None
  corpus: Corpus
  tables: Tables
  cohort: Cohort
  donors: tuple[str, ...]
  folds: tuple[Fold, ...]
  questions: Questions
  labels: tuple[str, ...]
  housekeeping: Housekeeping
  methods: tuple[Method, ...] = ()
  thorough: bool = True
  markers: Markers | None = None
  held_out_sets: GeneSets | None = None
  kept: dict[tuple, Any] = dataclasses.field(default_factory=dict)

  @functools.cached_property
  def is_scored(self) -> np.ndarray:
    """Which spots belong to a donor that is scored."""
    return self.cohort.spots["donor_id"].isin(self.donors).to_numpy()

  @functools.cached_property
  def scored(self) -> Cohort:
    """The spots of donors that are scored."""
    return self.cohort.subset(self.is_scored)

  @functools.cached_property
  def kin(self) -> Cohort:
    """The spots of all sections of the patients that are scored."""
    patients = self.scored.spots["patient"].unique()
    return self.cohort.subset(self.cohort.spots["patient"].isin(patients).to_numpy())

  @property
  def scored_sections(self) -> tuple[str, ...]:
    return tuple(name for name, _ in self.scored.sections())

  @property
  def split(self) -> str:
    return scope.described(self.corpus, self.donors)

  @property
  def subject(self) -> str:
    """Name of the method that is evaluated: the model, else the first one, given as features."""
    return MODEL if self.model else self.methods[0].name

  @property
  def models(self) -> tuple[Method, ...]:
    """The methods that are models: what has an image and a gene embedding in one space."""
    return tuple(method for method in self.methods if method.is_model)

  @property
  def donor_of(self) -> dict[str, str]:
    """Section -> its donor."""
    return {s["section_id"]: s["donor_id"] for s in self.corpus.manifest["sections"]}

  def method(self, name: str) -> Method:
    """The method of this name."""
    return next(method for method in self.methods if method.name == name)

  def of(self, method: Method) -> Setting:
    """The same questions where spots that the method's features leave out have no image."""
    if method.known is None:
      return self
    spots = self.cohort.spots.assign(has_patch=self.cohort.spots["has_patch"] & method.known)
    cohort = dataclasses.replace(self.cohort, spots=spots)
    questions = expression.prepare(cohort, self.folds, self.corpus.membership)
    return dataclasses.replace(self, cohort=cohort, questions=questions, kept={})

  def features_of(self, method: Method, read_from: str = "") -> tuple[str, ...]:
    """A method's features, by name.

    Args:
      read_from: only what is read from its embeddings in this way, as "@anchors".
    """
    own = (name for name in self.cohort.features if name.partition("/")[0] == method.name)
    return tuple(name for name in own if name.partition("@")[2] == read_from.removeprefix("@"))

  def seen_by(self, feature: str, *more: str) -> Cohort:
    """The scored spots that a feature says something of, with it, and some more, alone."""
    alone = {name: self.scored.features[name] for name in (feature, *more)}
    return dataclasses.replace(self.scored, features=alone, readout={}).seen_by(feature)

  def once(self, key: tuple, make: Callable[[], Any]) -> Any:
    """What `make` gives, made at the first call for this key: for rows and figures alike."""
    if key not in self.kept:
      self.kept[key] = make()
    return self.kept[key]

  def predictions(self, label: str, feature: str) -> Predictions:
    """The linear probe's answers."""
    return self.once(
      ("predictions", label, feature),
      lambda: predictions_.predictions(self.cohort, self.folds, feature, label),
    )

  def by_rule(self, feature: str) -> tuple[Cohort, str]:
    """The scored spots with what `readings` chooses of a feature and its anchors alone.

    And in words how often it chose what.
    """
    anchors = f"{feature}{gather.ANCHORS}"
    return self.once(
      ("reading", feature),
      lambda: readings.of_cohort(self.seen_by(feature, anchors), feature, anchors),
    )

  def regions(self, feature: str) -> np.ndarray:
    """Nested regions of every spot drawn from a feature; [level, spot], finest first.

    Where the feature has anchors, from what `readings` chooses of the two.
    """

    def drawn() -> np.ndarray:
      cohort, source = self.cohort, feature
      if (anchors := f"{feature}{gather.ANCHORS}") in cohort.features:
        cohort, _ = readings.of_cohort(cohort, feature, anchors)
        (source,) = cohort.features
      return gather.regions_of(cohort, self.corpus, source)

    return self.once(("regions", feature), drawn)

  def tree_of(self, method: Method) -> str:
    """The feature that a method's regions are drawn from; "" for methods without a tree."""
    if not method.is_model:
      own = self.features_of(method)
      return own[-1] if own and method.tree else ""
    return f"{method.name}/{'fused' if self.cohort.spots['has_patch'].any() else 'gene'}"

  def with_cohort(self, cohort: Cohort) -> Setting:
    """The same questions with more features."""
    questions = dataclasses.replace(self.questions, cohort=cohort)
    return dataclasses.replace(self, cohort=cohort, questions=questions)

  def with_features(
    self, features: Mapping[str, np.ndarray], *methods: Method, in_units: bool = False
  ) -> Setting:
    """The same questions with these features added, and those who answer by them.

    Args:
      in_units: they come in units of their section.
    """
    cohort = dataclasses.replace(
      self.cohort,
      features={**self.cohort.features, **features},
      in_units=self.cohort.in_units | (set(features) if in_units else set()),
    )
    return dataclasses.replace(self.with_cohort(cohort), methods=(*self.methods, *methods))

  def with_model(self, method: Method, windows: gather.Windows | None = None) -> Setting:
    """The same questions with a model's embeddings, readout and similarities to anchors.

    Args:
      windows: what the model is shown; by default every window of the corpus as it is.
    """
    genes = np.flatnonzero(self.questions.column >= 0)
    cohort = gather.with_model(
      self.cohort, method.corpus, method.name, method.forward, method.params, method.tables, genes,
      windows,
    )  # fmt: skip
    cohort = gather.with_anchors(cohort, method.name, method.params, method.tables)
    if method.readout is not None:
      cohort = gather.with_stored_readout(cohort, method.corpus, method.name, method.readout)
    return dataclasses.replace(self.with_cohort(cohort), methods=(*self.methods, method))

  def with_region_means(self, method: str) -> Setting:
    """Adds "<method>/fused@region<level>": each spot's region in place of the spot.

    Only for the feature that the regions were drawn from: another one would be averaged over
    regions that know what it has not seen.
    """
    tree = self.tree_of(self.method(method))
    return self.with_features(
      {
        f"{tree}@region{level}": region_mean(self.cohort.features[tree], ids)
        for level, ids in enumerate(self.regions(tree), 1)
      }
    )


def read(
  model: pretrained.Pretrained | None,
  corpus: Corpus,
  donors: Sequence[str],
  labels: Sequence[str],
  folds: Sequence[Fold] | None = None,
  splits: Sequence[str] = corpora.SPLITS,
  thorough: bool = True,
  markers: Markers | None = None,
  held_out_sets: GeneSets | None = None,
  genes_housekeeping: Path | None = None,
  ignore_labels: Sequence[str] = (),
  of_patches: bool = True,
) -> Setting:
  """Reads the corpus once; features of patches (colour, texture) come with it.

  Args:
    folds: leave one of the donors out by default.
    splits: only donors of these take part.
    genes_housekeeping: a list of them; by default what is known without one.
    ignore_labels: names that say that a spot has no label, beside the usual ones.
    of_patches: False where no baseline is asked: images are then left to the model.
  """
  # A spot has an image where the model has something to read of it.
  seen = corpora.as_read_by(model, corpus) if model else corpus
  cohort = gather.measured(seen) if of_patches else gather.measured(seen, None)
  if set(splits) != set(corpora.SPLITS):
    cohort = cohort.split(*splits)
  cohort = _unlabelled(cohort, labels, ignore_labels)
  folds = folds_of(cohort, donors) if folds is None else folds
  return Setting(
    model=model,
    corpus=corpus,
    tables=corpora.tables_for(model, corpus) if model else corpora.tables_of(corpus),
    cohort=cohort,
    donors=tuple(donors),
    folds=tuple(folds),
    questions=expression.prepare(cohort, folds, corpus.membership),
    labels=tuple(labels),
    thorough=thorough,
    housekeeping=housekeeping.read(genes_housekeeping, corpus),
    markers=markers,
    held_out_sets=held_out_sets,
  )


def _unlabelled(cohort: Cohort, labels: Sequence[str], ignored: Sequence[str]) -> Cohort:
  """The cohort with labels that say nothing left empty."""
  names = {name.strip().casefold() for name in ignored}
  columns = {
    label: cohort.spots[label]
    .astype(str)
    .where(~cohort.spots[label].astype(str).str.strip().str.casefold().isin(names), "")
    for label in labels
  }
  return dataclasses.replace(cohort, spots=cohort.spots.assign(**columns))
