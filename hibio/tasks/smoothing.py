"""Smoothing of domain labels over the tissue, as many published scores are before they are told."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from hibio.tasks.nearest_spots import nearest_spots

NUM_NEIGHBOURS = 6
"""The ring around a Visium spot."""


def smooth(labels: Int[np.ndarray, " spot"], positions_um: np.ndarray) -> Int[np.ndarray, " spot"]:
  """One pass over one section: a spot takes the label that most of its six nearest spots carry.

  "Most" is more than half; without such a majority a spot keeps its own.

  References:
    The rule behind BANKSY's published DLPFC scores (Singhal et al. 2024,
    doi 10.1038/s41588-024-01664-3): there the spot votes too and four of seven votes decide, which
    comes to the same.
  """
  near = nearest_spots(positions_um, NUM_NEIGHBOURS)
  _, codes = np.unique(labels, return_inverse=True)
  votes = np.zeros((len(labels), codes.max() + 1), np.int64)
  np.add.at(votes, (np.arange(len(labels))[:, None], codes[near]), 1)
  winner = votes.argmax(axis=1)
  majority = 2 * votes.max(axis=1) > near.shape[1]
  return np.where(majority, np.unique(labels)[winner], labels)
