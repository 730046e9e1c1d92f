"""The ways to draw nested regions, by the names that configs use."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Int

from data_pipelines.preparation.leiden_regions import leiden_regions
from data_pipelines.preparation.regions import nested_regions
from data_pipelines.problems import BadInputError

METHODS = {"agglomeration": nested_regions, "leiden": leiden_regions}
"""(features, positions_um, spots_per_region) -> region of each spot at each level, finest first."""


def method(name: str) -> Callable[..., Int[np.ndarray, "level spot"]]:
  """The method of that name, which is known to run here.

  Raises:
    BadInputError: no such method, or one that needs a package that is not installed.
  """
  if name not in METHODS:
    raise BadInputError(
      "config", "training.region_method", name, f"one of {', '.join(METHODS)}", "correct the name"
    )
  draw = METHODS[name]
  draw(np.ones((1, 1), np.float32), np.zeros((1, 2)), (1,))  # says now what it would say in hours
  return draw
