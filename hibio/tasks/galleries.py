"""The candidates a query is answered from. The gallery decides a recall: it is always named."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int


def own_section(
  donors: Int[np.ndarray, " section"],
) -> Bool[np.ndarray, "section section"]:
  """Spots of the query's section: nothing but the spot itself tells them apart."""
  return np.eye(len(donors), dtype=bool)


def own_donor(donors: Int[np.ndarray, " section"]) -> Bool[np.ndarray, "section section"]:
  """Spots of all sections of the query's donor."""
  return donors[:, None] == donors[None, :]


def all_sections(
  donors: Int[np.ndarray, " section"],
) -> Bool[np.ndarray, "section section"]:
  """Every spot: who only knows the section gains a factor of their number."""
  return np.ones((len(donors), len(donors)), bool)


def other_sections(
  donors: Int[np.ndarray, " section"],
) -> Bool[np.ndarray, "section section"]:
  """Spots of all sections but the query's: its own stain and batch are no help."""
  return ~own_section(donors)


GALLERIES = {"own section": own_section, "own donor": own_donor, "all": all_sections}
"""name -> (donor of each section -> which sections answer a query of each section). Every gallery
holds the query's own section, and so the spot it belongs to."""
