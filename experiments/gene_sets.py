"""Gene sets chosen when training starts, in place of those that the corpus was prepared with."""

from __future__ import annotations

from data_pipelines import other_gene_sets
from data_pipelines.loading.corpus import Corpus
from data_pipelines.preparation import pathways

RANDOM = "random"


def chosen(corpus: Corpus, gene_sets: str, seed: int) -> Corpus:
  """The corpus with the gene sets that a config names.

  Args:
    gene_sets: "" for the corpus' own, "random" for random ones of the same sizes, else GMT files,
      separated by commas.
    seed: of random sets.

  Raises:
    BadInputError: a file that cannot be read, or without a set that fits the panel.
  """
  if not gene_sets:
    return corpus
  if gene_sets == RANDOM:
    return other_gene_sets.with_random_sets(corpus, seed)
  paths = [path.strip() for path in gene_sets.split(",") if path.strip()]
  return other_gene_sets.with_pathways(corpus, pathways.of_files(paths, corpus.panel))
