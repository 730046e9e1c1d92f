"""Which genes does a keyword score pick? Measured where the planted answer is known."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float

from hibio.tasks.rows import Row


def purity(
  scores: Float[np.ndarray, "spot gene"], planted: Bool[np.ndarray, "spot gene"], num_keywords: int
) -> Float[np.ndarray, " spot"]:
  """Share of each spot's top genes that are planted there; genes that score 0 are not picked."""
  top = np.argsort(-scores, axis=1, kind="stable")[:, :num_keywords]
  picked = np.take_along_axis(scores, top, 1) > 0
  hits = np.take_along_axis(planted, top, 1) & picked
  return hits.sum(1) / num_keywords


def evaluate(
  scores: dict[str, Float[np.ndarray, "spot gene"]],
  expressed: Bool[np.ndarray, "spot gene"],
  planted: Bool[np.ndarray, "spot gene"],
  housekeeping: Bool[np.ndarray, " gene"],
  num_keywords: int,
  dataset: str,
  split: str,
) -> Iterator[Row]:
  """Purity and housekeeping share of every score, beside the oracle's and chance.

  The oracle knows the planted genes and picks those that the spot expresses. Chance picks evenly
  among the genes the spot expresses.
  """
  common = ("keywords", dataset, f"top {num_keywords} of each spot", split)
  chance = float(((planted & expressed).sum(1) / np.maximum(expressed.sum(1), 1)).mean())
  hk_chance = float(((housekeeping & expressed).sum(1) / np.maximum(expressed.sum(1), 1)).mean())
  oracle = {"oracle": (planted & expressed).astype(np.float32)}
  hk = np.broadcast_to(housekeeping, planted.shape)
  for method, values in {**scores, **oracle}.items():
    n = len(values)
    yield Row(
      *common, "purity", method, float(purity(values, planted, num_keywords).mean()), n, chance
    )
    yield Row(
      *common,
      "housekeeping_share",
      method,
      float(purity(values, hk, num_keywords).mean()),
      n,
      hk_chance,
    )
