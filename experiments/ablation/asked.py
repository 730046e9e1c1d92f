"""What every run and every baseline is asked: one corpus, one label, the same held-out donors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from data_pipelines.loading.corpus import Corpus
from data_pipelines.problems import BadInputError
from hibio import configs, corpora
from hibio.batch import Tables
from hibio.evaluation import expression, gather
from hibio.evaluation.cohort import Cohort
from hibio.evaluation.expression import Questions
from hibio.evaluation.folds import Fold, folds_of
from hibio.forward import Forward

RETRIEVAL_ALONE = ("colour ridge to pca",)
"""Two features of other methods side by side: scored there, and not once more."""


@dataclasses.dataclass(frozen=True)
class Asked:
  """The questions, before anybody has answered.

  Attributes:
    cohort: every spot, with the features of those who answer.
    donors: who is scored.
    folds: how they are held out.
    label: the column that domains and annotation are about; "" to leave them out.
  """

  corpus: Corpus
  tables: Tables
  cohort: Cohort
  donors: tuple[str, ...]
  folds: tuple[Fold, ...]
  questions: Questions
  label: str

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

  @property
  def readout_genes(self) -> np.ndarray:
    """Panel rows that some fold asks for."""
    return np.flatnonzero(self.questions.column >= 0)

  def features_of(self, method: str, read_from: str = "") -> tuple[str, ...]:
    """A method's features, by name.

    Args:
      read_from: only what is read from its embeddings in this way, as "@anchors".
    """
    if method in RETRIEVAL_ALONE:
      return ()
    own = (name for name in self.cohort.features if name.partition("/")[0] == method)
    return tuple(name for name in own if name.partition("@")[2] == read_from.removeprefix("@"))

  def answered(self, cohort: Cohort) -> Asked:
    """The same questions with more features."""
    questions = dataclasses.replace(self.questions, cohort=cohort)
    return dataclasses.replace(self, cohort=cohort, questions=questions)

  def with_features(self, features: Mapping[str, np.ndarray]) -> Asked:
    """The same questions of a cohort that has these features."""
    return self.answered(dataclasses.replace(self.cohort, features=features))


@dataclasses.dataclass(frozen=True)
class Method:
  """Who answers.

  Attributes:
    name: what its features begin with.
    params: of a model; None for a baseline.
    frozen: the model's forward function, where it may be asked more than its features say.
    keywords: how the model picks its keyword genes, as `frozen`.
    neighbour_radius_um: within which it takes spots for neighbours, which are no negatives.
  """

  name: str
  params: Any = None
  frozen: Forward | None = None
  keywords: configs.KeywordConfig | None = None
  neighbour_radius_um: float | None = None


def asked(corpus: Corpus, donors: tuple[str, ...], label: str) -> Asked:
  """Reads the corpus once; features of patches (colour, texture) come with it."""
  cohort = gather.measured(corpus)
  folds = folds_of(cohort, donors)
  questions = expression.prepare(cohort, folds, corpus.membership)
  return Asked(corpus, corpora.tables_of(corpus), cohort, donors, tuple(folds), questions, label)


def label_of(corpus: Corpus, wanted: str) -> str:
  """The label that is asked for, else the one with most names; "" where the corpus has none.

  Raises:
    BadInputError: the corpus has no such label.
  """
  labels = corpus.manifest["labels"]
  if wanted and wanted not in labels:
    raise BadInputError(
      corpus.path, "label", wanted, f"one of {', '.join(labels) or 'none'}",
      "pass --label=NAME with a label of the corpus",
    )  # fmt: skip
  return wanted or max(labels, key=lambda name: len(labels[name]), default="")
