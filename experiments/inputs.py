"""A prepared corpus as the arrays that the library reads."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from data_pipelines.loading import loader
from data_pipelines.loading.corpus import Corpus
from hibio.batch import Batch, SectionStatistics, Tables
from hibio.finetuning.panel import with_gene_sets
from hibio.objectives.pathway import jaccard
from hibio.pretrained import Pretrained
from hibio.training.progress import say
from hibio.training.workdir import background, gene_set_names

SPLITS = ("train", "validation", "test")


def tables_of(corpus: Corpus) -> Tables:
  """The corpus' statistics, gene sets and first regions."""
  return Tables(
    statistics=SectionStatistics(**corpus.statistics),
    membership=corpus.membership,
    regions=corpus.regions,
    overlap=np.asarray(jaccard(jnp.asarray(corpus.membership))),
  )


def tables_for(model: Pretrained, corpus: Corpus) -> Tables:
  """The corpus' tables, with what the model took for granted of genes when it was trained.

  Which genes are common or patterned anywhere is part of what a model learned; a corpus of its own
  to judge by would let the sections that are scored choose. Of genes that the panel has gained
  since, only the corpus can tell.

  Raises:
    BadInputError: the file of the work directory that says so is damaged.
  """
  tables, known = tables_of(corpus), background(model.workdir)
  if not known:
    say(f"{model.workdir} does not say how common genes were in training: the corpus' own count")
  own = {name: np.asarray(getattr(tables.statistics, name)) for name in known}
  both = {name: np.concatenate([known[name], own[name][len(known[name]) :]]) for name in known}
  return tables.replace(statistics=tables.statistics.replace(**both))


def first_window(corpus: Corpus) -> Batch:
  """A batch of one window: enough for a model to learn its shapes."""
  return Batch(**next(iter(loader.windows_once(corpus, SPLITS, windows_per_batch=1))))


def params_over(model: Pretrained, corpus: Corpus) -> Any:
  """The model's parameters for the corpus' gene sets, matched by name.

  Anchors are made of their member genes and a learned offset. Gene sets that the model was not
  trained with have no offset.
  """
  if model.meta["corpus"]["fingerprint"] == corpus.fingerprint:
    return model.params
  known = gene_set_names(model.workdir)
  return with_gene_sets(model.params, known, corpus.gene_set_names)
