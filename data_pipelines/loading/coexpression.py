"""For each gene that a model has not seen, the genes it knows that are expressed with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int

from data_pipelines.console import say
from data_pipelines.loading.corpus import Corpus
from data_pipelines.loading.windows import Windows
from data_pipelines.preparation.statistics import standardised

NEIGHBOURS = 10
"""Old genes that a new one is made of."""

MAX_WINDOWS = 400
"""Windows looked at, evenly over the corpus: correlations of 20,000 spots are exact enough."""


def coexpressed(
  corpus: Corpus, num_old: int, num_neighbours: int = NEIGHBOURS
) -> tuple[Int[np.ndarray, "new neighbour"], Float[np.ndarray, "new neighbour"]]:
  """For each gene behind the first `num_old` of the panel, the old genes it correlates with most.

  As `most_correlated`, over the spots of training donors.
  """
  windows = Windows(corpus, ("train",))
  numbers = np.unique(np.linspace(0, len(windows) - 1, MAX_WINDOWS).astype(int))
  num_genes = len(corpus.panel)
  say(
    f"prepare: {num_genes - num_old:,} new genes: looking for old ones that are expressed with them"
  )

  def blocks() -> Iterator[Float[np.ndarray, "spot gene"]]:
    for number in numbers:
      element = windows[int(number)]
      row = int(element["section_index"])
      counts = scipy.sparse.csr_matrix(
        (element["count"], element["gene"], element["offsets"]),
        shape=(len(element["spot_index"]), num_genes),
      )
      tables = (corpus.statistics[name][row] for name in ("measured", "log_mean", "log_std"))
      yield from standardised(counts, *tables)

  return most_correlated(blocks(), num_old, num_genes, num_neighbours)


def most_correlated(
  blocks: Iterable[Float[np.ndarray, "spot gene"]],
  num_old: int,
  num_genes: int,
  num_neighbours: int = NEIGHBOURS,
) -> tuple[Int[np.ndarray, "new neighbour"], Float[np.ndarray, "new neighbour"]]:
  """For each gene behind the first `num_old`, the old genes it correlates with most.

  Holds a table of all old by all new genes.

  Args:
    blocks: log expression standardised in its section, spots in any pieces: genes are then not
      alike for being high in the same sections.

  Returns:
    Rows of old genes, the most correlated first, and the correlations, 0 where negative.
  """
  products = np.zeros((num_genes - num_old, num_old), np.float32)
  squares = np.zeros(num_genes)
  for z in blocks:
    z = z.astype(np.float32)
    products += z[:, num_old:].T @ z[:, :num_old]
    squares += (z**2).sum(axis=0)
  lengths = np.sqrt(np.maximum(squares, 1e-12)).astype(np.float32)
  correlation = products / (lengths[num_old:, None] * lengths[None, :num_old])
  nearest = np.argsort(-correlation, axis=1, kind="stable")[:, :num_neighbours]
  return nearest, np.maximum(np.take_along_axis(correlation, nearest, axis=1), 0.0)
