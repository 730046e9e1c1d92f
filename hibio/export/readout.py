"""The frozen model as one compiled function that computes only what a section has and asks for."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax

from hibio.batch import Batch, Tables
from hibio.model import HiBio

Read = Callable[..., dict[str, jax.Array]]
"""(params, batch, tables) -> "image", "gene", "pathways", "predicted", as far as asked for."""


@functools.lru_cache(maxsize=16)
def compiled(model: HiBio, sees: tuple[str, ...], pathways: bool, predicted: bool) -> Read:
  """The jitted function; what it does not return, a whole tower perhaps, is not computed.

  Args:
    sees: "image", "gene" or both. Pathways and predicted expression are read off the first.
    pathways: also the cosine of each spot with each anchor.
    predicted: also expression standardised in its section.
  """

  @jax.jit
  def read(params, batch: Batch, tables: Tables) -> dict[str, jax.Array]:
    outputs = model.apply({"params": params}, batch, tables.statistics, tables.membership)
    found = {name: getattr(outputs, name) for name in sees}
    if pathways:
      found["pathways"] = found[sees[0]] @ outputs.anchors.T
    if predicted:
      found["predicted"] = getattr(outputs, f"predicted_from_{sees[0]}")
    return found

  return read
