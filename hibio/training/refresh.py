"""New regions in the middle of training: how many, how large, how much like those before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from sklearn.metrics import adjusted_rand_score

from hibio.batch import Tables
from hibio.training import sharding


def refreshed(
  refresh: Callable[[Any, Tables], np.ndarray], params: Any, tables: Tables
) -> tuple[Tables, dict[str, float]]:
  """The tables with new regions, and what is logged of each level of them.

  That is their number, the median of their spots, and the adjusted Rand index of new and old over
  the spots that have a region in both.

  Raises:
    ValueError: the new regions are not as many as the old ones.
  """
  old = np.asarray(tables.regions)
  new = np.asarray(refresh(sharding.on_this_process(params), tables))
  if new.shape != old.shape:
    raise ValueError(f"regions of shape {new.shape} cannot replace those of shape {old.shape}")
  logged = {}
  for level, (before, after) in enumerate(zip(old, new, strict=True), 1):
    both = (before >= 0) & (after >= 0)
    value = adjusted_rand_score(before[both], after[both]) if both.any() else float("nan")
    sizes = np.unique(after[after >= 0], return_counts=True)[1]
    logged |= {
      f"regions/agreement_level_{level}": float(value),
      f"regions/number_level_{level}": len(sizes),
      f"regions/median_size_level_{level}": float(np.median(sizes)) if len(sizes) else 0.0,
    }
  layout = getattr(tables.regions, "sharding", None)
  regions = jax.device_put(new.astype(old.dtype), layout)
  return tables.replace(regions=regions), logged
