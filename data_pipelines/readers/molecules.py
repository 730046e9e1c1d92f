"""Values that are no counts of molecules: scaled ones, logarithms and roots of them, presence
alone, or depth taken out and rounded.

Of 13 real sections of eight studies, every raw one has a gene that was counted once in each of its
spots, and quartiles of depth that lie 0.4 medians apart or more. Of the same sections scaled to
10,000 and rounded, 11 have spots without such a gene, and in all of them the quartiles lie 0.12
medians apart or less.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse

_FEWEST, _MIN_SPOTS = 10, 50
"""Spots that say anything, and of which depths are compared: fewer may be alike by chance."""

_MIN_GENES = 100
"""Genes of a spot of which one, at least, is counted once; fewer molecules say nothing of depth."""

_WITHOUT_ONES = 0.1
"""Share of spots without a gene that is counted once, above which none of them is raw."""

_REPEATS = 20
"""Molecules that meet another of their gene, above which it is no chance that none does."""

_POISSON_QUARTILES = 1.35
"""How far apart the quartiles of a Poisson variable lie, in standard deviations."""

_LEAST_VARIED, _SAME = 0.65, 0.05
"""Of 25 raw sections of nine studies, whole or cut to 1,000 or 300 of their genes, the lowest is
0.81. Scaled to their median depth and rounded, 23 of them lie below 0.6 with 1,000 genes. Where the
number of genes hardly varies, nothing is told."""

_ALIKE, _ROUND = 0.12, 0.05
"""Quartiles of depth, in medians, and how far the median may be from a power of ten."""


_REPEATED, _SAMPLE = 0.3, 200
"""Distinct fractions by fractions, of the spot in the middle: of four real sections that are
normalised in 14 ways 0.15 at most, of those corrected as SoupX and DecontX do 0.68 at least."""


def why_not(counts: scipy.sparse.csr_matrix, *, rounded: bool = False) -> str | None:
  """Why a matrix of whole numbers, `[spot, gene]`, counts no molecules; None where it may.

  Args:
    rounded: it was rounded on purpose: that a correction left no ones says nothing.
  """
  genes = counts.getnnz(axis=1)
  counts = counts[np.flatnonzero(genes)]
  if counts.shape[0] < _FEWEST:
    return None
  genes, depth = counts.getnnz(axis=1), np.asarray(counts.sum(axis=1), np.float64).ravel()
  if counts.data.max() == 1 and counts.nnz < np.prod(counts.shape):
    # Molecules spread evenly over all genes would fall on the same gene this often, and would more
    # often on the genes of a tissue.
    repeats = float((depth * (depth - 1)).sum()) / (2 * counts.shape[1])
    if repeats > _REPEATS:
      return "zeros and ones only (which genes are there and not how often)"
  if counts.shape[0] < _MIN_SPOTS:
    return None
  lowest = np.minimum.reduceat(counts.data, counts.indptr[:-1])
  rich = genes >= _MIN_GENES
  share = float((lowest[rich] > 1).mean()) if rich.sum() >= _MIN_SPOTS else 0.0
  if share > _WITHOUT_ONES and not rounded:
    return f"scaled whole numbers (no gene was counted once in {share:.0%} of spots)"
  if _is_even(depth):
    return f"scaled whole numbers (about {np.median(depth):,.0f} in every spot)"
  if (varies := _depth_by_genes(genes, depth)) < _LEAST_VARIED:
    return (
      f"scaled whole numbers (counts of spots vary {varies:.2f} times as much as their numbers of "
      "genes, those of molecules about as much or more)"
    )
  return None


def _depth_by_genes(genes: np.ndarray, depth: np.ndarray) -> float:
  """How far apart the quartiles of the logarithm of depth lie, by those of the number of genes;
  1 where either says nothing."""
  told = genes >= _FEWEST
  if told.sum() < _MIN_SPOTS:
    return 1.0
  of_depth, of_genes = (
    float(np.subtract(*np.quantile(np.log(values[told]), (0.75, 0.25))))
    for values in (depth, genes)
  )
  return of_depth / of_genes if of_genes > _SAME else 1.0


def _is_even(depth: np.ndarray) -> bool:
  """True where spots are alike as no counts are, or lie about a round number."""
  low, median, high = np.quantile(depth, (0.25, 0.5, 0.75))
  if median < _MIN_GENES:
    return False
  spread = (high - low) / median
  if spread < 0.5 * _POISSON_QUARTILES / np.sqrt(median):
    return True
  power = 10 ** np.round(np.log10(median))
  return bool(spread < _ALIKE and power >= 1000 and abs(median / power - 1) < _ROUND)


def are_transformed(counts: scipy.sparse.csr_matrix) -> bool | None:
  """Whether values are counts that were scaled, or a logarithm or root of them; None where too few
  of them tell.

  Many genes of a spot are counted once, and many twice: whatever is done to counts, these stay
  alike. What a correction such as SoupX or DecontX leaves differs from gene to gene.
  """
  rows = np.unique(np.linspace(0, counts.shape[0] - 1, _SAMPLE).astype(int))
  spots = (values[values != np.floor(values)] for values in (counts[row].data for row in rows))
  shares = [len(np.unique(values)) / len(values) for values in spots if len(values) >= _FEWEST]
  return bool(np.median(shares) < _REPEATED) if len(shares) >= _FEWEST else None
