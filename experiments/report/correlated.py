"""Correlation of maps within sections, and four of many chosen by their place among all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from hibio.tasks.cohort import Cohort

PLACES = {"best": 1.0, "upper quartile": 0.75, "median": 0.5, "worst": 0.0}
"""Place among all, by name -> quantile."""

LISTED = "the best, the one at the upper quartile, the median and the worst"
"""`PLACES` for a reader."""


def in_sections(
  cohort: Cohort, one: Float[np.ndarray, "spot thing"], other: Float[np.ndarray, "spot thing"]
) -> dict[str, Float[np.ndarray, " thing"]]:
  """Section id -> Pearson correlation of each column; not-a-number where one side is constant."""
  found = {}
  for section, rows in cohort.sections():
    a = one[rows].astype(float) - one[rows].mean(0)
    b = other[rows].astype(float) - other[rows].mean(0)
    norms = np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0)
    found[section] = np.where(norms > 1e-9, (a * b).sum(0) / np.maximum(norms, 1e-9), np.nan)
  return found


def mean_defined(
  scores: Sequence[Mapping[str, Float[np.ndarray, " thing"]]],
) -> Float[np.ndarray, " thing"]:
  """Mean over sections of each thing's correlations; not-a-number where no section defines it."""
  stacked = np.stack([r for one in scores for r in one.values()])
  defined = np.isfinite(stacked)
  count = defined.sum(0)
  return np.where(count, np.where(defined, stacked, 0.0).sum(0) / np.maximum(count, 1), np.nan)


def in_words(r: float) -> str:
  """A correlation for a caption; nothing where it is not defined."""
  return f"r {r:.2f}" if np.isfinite(r) else ""


def at_quantiles(score: Float[np.ndarray, " thing"]) -> list[list[tuple[str, int]]]:
  """(name of the place, index) of the things at `PLACES`, two by two; a thing appears once."""
  order = [index for index in np.argsort(score, kind="stable") if np.isfinite(score[index])]
  chosen: dict[int, str] = {}
  for name, quantile in PLACES.items():
    if order:
      chosen.setdefault(int(order[round(quantile * (len(order) - 1))]), name)
  pairs = [(name, index) for index, name in chosen.items()]
  return [pairs[start : start + 2] for start in range(0, len(pairs), 2)]
