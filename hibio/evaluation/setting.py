"""What every task and every figure of one evaluation reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from data_pipelines.loading.corpus import Corpus
from hibio import pretrained
from hibio.batch import Tables
from hibio.evaluation import predictions as predictions_
from hibio.evaluation.cohort import Cohort
from hibio.evaluation.expression import Questions
from hibio.evaluation.folds import Fold
from hibio.evaluation.markers import Markers
from hibio.evaluation.predictions import Predictions
from hibio.forward import Forward


@dataclasses.dataclass(frozen=True)
class Setting:
  """One evaluation: a model, a corpus, and every method's features of it.

  Attributes:
    model: the checkpoint that is evaluated.
    corpus: what it is evaluated on.
    tables: of the corpus.
    params: model name -> parameters; "hibio", "untrained" and others that are compared.
    frozen: the forward function of "hibio" and "untrained".
    cohort: every spot with every method's features.
    donors: who is scored.
    folds: how they are held out.
    questions: the folds' genes, for the expression task.
    labels: label columns.
    regions: feature -> nested regions of every spot drawn from it, finest first; the model's come
      first, then those of controls.
    markers: gene sets that describe classes, if any were given.
    called: (label, feature) -> answers of the linear probe, once somebody has asked for them.
  """

  model: pretrained.Pretrained
  corpus: Corpus
  tables: Tables
  params: Mapping[str, Any]
  frozen: Forward
  cohort: Cohort
  donors: tuple[str, ...]
  folds: tuple[Fold, ...]
  questions: Questions
  labels: tuple[str, ...]
  regions: Mapping[str, np.ndarray]
  markers: Markers | None = None
  called: dict[tuple[str, str], Predictions] = dataclasses.field(default_factory=dict)

  @property
  def is_scored(self) -> np.ndarray:
    """Which spots belong to a donor that is scored."""
    return self.cohort.spots["donor_id"].isin(self.donors).to_numpy()

  @property
  def scored(self) -> Cohort:
    """The spots of donors that are scored."""
    return self.cohort.subset(self.is_scored)

  @property
  def split(self) -> str:
    return "donors " + ", ".join(self.donors)

  def predictions(self, label: str, feature: str) -> Predictions:
    """The linear probe's answers; fitted once, for tables and figures alike."""
    if (label, feature) not in self.called:
      found = predictions_.predictions(self.cohort, self.folds, feature, label)
      self.called[label, feature] = found
    return self.called[label, feature]

  def models(self) -> tuple[str, ...]:
    """Names of everything that has an image and a gene embedding in one space."""
    return tuple(self.params)
