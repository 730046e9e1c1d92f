"""Which animal a list of genes is of, told by the names alone."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np


def guess_species(
  gene_ids: Sequence[str] | np.ndarray, gene_symbols: Sequence[str] | np.ndarray
) -> str | None:
  """ "human" or "mouse" by Ensembl id, else by how symbols are capitalised; None if unclear."""
  for species, pattern in (("human", r"ENSG\d"), ("mouse", r"ENSMUSG\d")):
    if np.mean([re.match(pattern, i) is not None for i in gene_ids]) > 0.5:
      return species
  words = [s for s in gene_symbols if re.fullmatch(r"[A-Za-z]+\d*[A-Za-z]?\d*", s) and len(s) > 1]
  if len(words) < 20:
    return None
  if np.mean([word.isupper() for word in words]) > 0.8:
    return "human"
  if np.mean([word[0].isupper() and word[1:].islower() for word in words]) > 0.7:
    return "mouse"
  return None
