"""A section's list of keyword genes, and how lists are compared with each other.

A spot has its own keywords; a paper shows a list for a section. It is made of the genes that are
most often among the keywords of its spots.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int


def picked_share(
  gene: Int[np.ndarray, "spot keyword"], mask: Bool[np.ndarray, "spot keyword"], num_genes: int
) -> Float[np.ndarray, " gene"]:
  """Share of spots that have each gene among their keywords."""
  return np.bincount(gene[mask], minlength=num_genes) / max(len(gene), 1)


def held_weight(
  gene: Int[np.ndarray, "spot keyword"], weight: Float[np.ndarray, "spot keyword"], num_genes: int
) -> Float[np.ndarray, " gene"]:
  """Keyword weight that each gene holds, over all spots; sums to 1 where there is any."""
  held = np.bincount(gene.ravel(), weight.ravel().astype(np.float64), minlength=num_genes)
  return held / max(held.sum(), 1e-12)


def best(score: Float[np.ndarray, " gene"], num_genes: int) -> Int[np.ndarray, " chosen"]:
  """The `num_genes` genes of highest score, best first; none whose score is 0 or undefined."""
  score = np.nan_to_num(score, nan=0.0)
  order = np.argsort(-score, kind="stable")[:num_genes]
  return order[score[order] > 0]


def jaccard(one: Sequence[int] | np.ndarray, other: Sequence[int] | np.ndarray) -> float:
  """Genes in both lists over genes in either; 0 for two empty lists."""
  one, other = set(map(int, one)), set(map(int, other))
  return len(one & other) / max(len(one | other), 1)


def stability(
  lists: Mapping[str, np.ndarray], donor_of: Mapping[str, str]
) -> tuple[list[float], list[float]]:
  """Jaccard index of the lists of every two sections: of one donor, and of different donors.

  Args:
    lists: section -> its list.
    donor_of: section -> donor.
  """
  same, other = [], []
  for one, two in itertools.combinations(lists, 2):
    pairs = same if donor_of[one] == donor_of[two] else other
    pairs.append(jaccard(lists[one], lists[two]))
  return same, other
