"""A pretrained encoder that is only read: patches in, one vector a spot out."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

_PIXELS_A_STEP = 8 * 112 * 112
"""On a processor: the maps of more patches leave its cache, which halves the speed."""

_PATCHES_A_STEP = 128
"""On an accelerator."""


@dataclasses.dataclass(frozen=True, eq=False)
class FrozenEncoder:
  """What `hibio.encoders.catalogue.load` returns.

  Attributes:
    about: "name", "hash" (16 hex digits of the weights and of what is read), "licence", "views"
      ([[um, px], ...]), "width", and "blocks" ([[label, width], ...] in the order of the columns).
    module: patches of one view -> a list of vectors.
    params: of the module.
  """

  about: Mapping[str, Any]
  module: nn.Module
  params: Any

  @property
  def views(self) -> tuple[tuple[float, int], ...]:
    """Squares around a spot that are read: their side in micrometres, and in pixels."""
    return tuple((um, px) for um, px in self.about["views"])

  @property
  def width(self) -> int:
    """Of the vector of a spot."""
    return self.about["width"]

  def __call__(
    self, patches: tuple[UInt8[np.ndarray, "spot _ _ 3"], ...]
  ) -> Float[np.ndarray, "spot width"]:
    """A vector of each spot.

    Args:
      patches: RGB of each of `views`, in their order.
    """
    parts = [self._of_view(view) for view in patches]
    if len(parts) != len(self.views):
      raise ValueError(f"{len(parts)} views of the spots, expected {len(self.views)}")
    return np.concatenate(parts, axis=-1)

  def _of_view(self, patches: UInt8[np.ndarray, "spot px px 3"]) -> Float[np.ndarray, "spot _"]:
    px = patches.shape[1]
    on_processor = jax.default_backend() == "cpu"
    size = max(1, _PIXELS_A_STEP // px**2) if on_processor else _PATCHES_A_STEP
    parts = [np.zeros((0, self.width // len(self.views)), np.float32)]
    for first in range(0, len(patches), size):
      some = patches[first : first + size]
      padded = np.pad(some, [(0, size - len(some)), (0, 0), (0, 0), (0, 0)])
      parts.append(np.asarray(self._read(self.params, padded))[: len(some)])
    return np.concatenate(parts)

  @functools.cached_property
  def _read(self):
    def read(params, patches):
      vectors = self.module.apply({"params": params}, patches)
      return jnp.concatenate(vectors, axis=-1).astype(jnp.float32)

    return jax.jit(read)


def fingerprint(settings: Mapping[str, Any], params: Any) -> str:
  """16 hex digits of JSON-able settings and of parameters, whatever the order of either."""
  digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
  for path, leaf in sorted(
    jax.tree_util.tree_leaves_with_path(params), key=lambda one: str(one[0])
  ):
    leaf = np.ascontiguousarray(leaf)
    digest.update(f"{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape}".encode())
    digest.update(leaf.data)
  return digest.hexdigest()[:16]
