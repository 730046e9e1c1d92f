"""A prepared corpus with other gene sets than it was prepared with: all else of it stays.

Windows, panel, splits and regions know nothing of gene sets. Only each section's activities do, and
they are computed anew from its counts.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from data_pipelines.console import Progress
from data_pipelines.loading.corpus import Corpus
from data_pipelines.preparation import pathways, shards, statistics
from data_pipelines.preparation.pathways import Pathways


def with_pathways(corpus: Corpus, sets: Pathways) -> Corpus:
  """The corpus with these gene sets; nothing is written. Says on stderr how far it is.

  Its fingerprint is another one. Counts are read a section at a time.

  Raises:
    BadInputError: a damaged shard.
  """
  sections = corpus.manifest["sections"]
  progress = Progress("gene sets", len(sections), "sections", every_seconds=0)
  means, deviations = [], []
  for row, section in enumerate(sections):
    counts = shards.read_counts(corpus.section_folder(row), len(corpus.panel))
    mean, deviation = statistics.activity_statistics(
      lambda counts=counts: [counts],
      corpus.statistics["measured"][row],
      corpus.statistics["log_mean"][row],
      corpus.statistics["log_std"][row],
      sets.membership,
    )
    means.append(mean)
    deviations.append(deviation)
    progress.add(note=f"{section['section_id']}: {counts.shape[0]:,} spots")
  activities = {"activity_mean": np.stack(means), "activity_std": np.stack(deviations)}
  return dataclasses.replace(
    corpus,
    manifest={**corpus.manifest, "gene_sets": sets.about},
    statistics={**corpus.statistics, **activities},
    membership=sets.membership,
    gene_set_names=sets.names,
  )


def with_random_sets(corpus: Corpus, seed: int) -> Corpus:
  """The corpus with random gene sets as large as its own, of genes that training donors measure."""
  training = np.array([section["split"] == "train" for section in corpus.manifest["sections"]])
  measured = corpus.statistics["measured"][training if training.any() else ~training].any(axis=0)
  return with_pathways(corpus, pathways.random_sets(corpus.membership, measured, seed))
