"""New regions in the middle of training, and how much they agree with those before."""

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
  """The tables with new regions, and the adjusted Rand index of new and old at each level.

  Raises:
    ValueError: the new regions are not as many as the old ones.
  """
  old = np.asarray(tables.regions)
  new = np.asarray(refresh(sharding.on_this_process(params), tables))
  if new.shape != old.shape:
    raise ValueError(f"regions of shape {new.shape} cannot replace those of shape {old.shape}")
  agreement = {}
  for level, (before, after) in enumerate(zip(old, new, strict=True), 1):
    both = (before >= 0) & (after >= 0)
    value = adjusted_rand_score(before[both], after[both]) if both.any() else float("nan")
    agreement[f"regions/agreement_level_{level}"] = float(value)
  layout = getattr(tables.regions, "sharding", None)
  regions = jax.device_put(new.astype(old.dtype), layout)
  return tables.replace(regions=regions), agreement
