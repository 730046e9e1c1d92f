"""A prepared corpus as the arrays that the library reads."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from data_pipelines.loading import loader
from data_pipelines.loading.corpus import Corpus
from hibio.batch import Batch, SectionStatistics, Tables
from hibio.objectives.pathway import jaccard

SPLITS = ("train", "validation", "test")


def tables_of(corpus: Corpus) -> Tables:
  """The corpus' statistics, gene sets and first regions."""
  return Tables(
    statistics=SectionStatistics(**corpus.statistics),
    membership=corpus.membership,
    regions=corpus.regions,
    overlap=np.asarray(jaccard(jnp.asarray(corpus.membership))),
  )


def first_window(corpus: Corpus) -> Batch:
  """A batch of one window: enough for a model to learn its shapes."""
  return Batch(**next(iter(loader.windows_once(corpus, SPLITS, windows_per_batch=1))))
