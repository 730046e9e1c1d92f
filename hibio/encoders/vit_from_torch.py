"""Weights of vision transformers as torch has them -> parameters of `PretrainedViT`.

Positions of the class token and of registers are added to these tokens, LayerScale becomes part of
the matrices before it, and an attention pooler two matrices. Files name their tensors as timm does,
as transformers does, or, of the pooler, as CONCH does.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from hibio.encoders.pretrained_vit import POOLER, POOLER_EPSILON, POOLER_HEADS, PretrainedViT

_IN_TIMM = (
  # as transformers writes it (ViT, Dinov2, Dinov2 with registers), as timm does
  (r"^embeddings\.", ""),
  (r"^patch_embeddings\.projection\.", "patch_embed.proj."),
  (r"^position_embeddings$", "pos_embed"),
  (r"^register_tokens$", "reg_token"),
  (r"^encoder\.layer\.", "blocks."),
  (r"\.attention\.attention\.(query|key|value)\.", r".attn.\1."),
  (r"\.attention\.output\.dense\.", ".attn.proj."),
  (r"\.layer_scale(\d)\.lambda1$", r".ls\1.gamma"),
  (r"\.layernorm_before\.", ".norm1."),
  (r"\.layernorm_after\.", ".norm2."),
  (r"\.intermediate\.dense\.|\.mlp\.weights_in\.", ".mlp.fc1."),
  (r"\.output\.dense\.|\.mlp\.weights_out\.", ".mlp.fc2."),
  (r"^layernorm\.", "norm."),
)
_FIRST = ("patch_embed.proj.weight", "embeddings.patch_embeddings.projection.weight")


def from_torch(tensors: Mapping[str, np.ndarray], vit: PretrainedViT) -> dict[str, Any]:
  """Parameters of a `PretrainedViT`, of tensors named as in timm or transformers.

  Positions of another number of pieces are resized as these libraries do. An attention pooler is
  named as in CONCH.

  Raises:
    KeyError: a tensor is missing.
    ValueError: there are more blocks or tokens than the network has.
  """
  of = _timm(tensors)
  kernel = of.pop("patch_embed.proj.weight").transpose(2, 3, 1, 0)
  registers = of.pop("reg_token")[0] if vit.registers else np.zeros((0, vit.width), np.float32)
  prefix = np.concatenate([of.pop("cls_token")[0], registers])
  in_transformers = any(name.endswith(_FIRST[1]) for name in tensors)
  placed, positions = _positions(of.pop("pos_embed")[0], vit, in_transformers)
  prefix[: len(placed)] += placed
  blocks = [_block(of, f"blocks.{number}.", vit) for number in range(vit.depth)]
  params = {
    "token": {"kernel": kernel.reshape(-1, vit.width), "bias": of.pop("patch_embed.proj.bias")},
    "prefix": prefix,
    "positions": positions,
    "transformer": {"norm": _norm(of, "norm")},
  }
  if vit.config.scan:
    params["transformer"]["blocks"] = jax.tree.map(lambda *leaves: np.stack(leaves), *blocks)
  else:
    params["transformer"] |= {f"block_{number}": block for number, block in enumerate(blocks)}
  if vit.pooled:
    params[POOLER] = _pooler(tensors, vit)
  if more := [name for name in of if name.startswith(("blocks.", "reg_token"))]:
    raise ValueError(f"{more[0]}, which this network does not have")
  return params


_QUERY = "attn_pool_contrast.query"


def _pooler(tensors: Mapping[str, np.ndarray], vit: PretrainedViT) -> dict[str, Any]:
  """The one query, and keys and values of `torch.nn.MultiheadAttention`, as two matrices."""
  root = next((name[: -len(_QUERY)] for name in tensors if name.endswith(_QUERY)), None)
  if root is None:
    raise KeyError(_QUERY)
  place = f"{root}attn_pool_contrast."
  of = {name: np.asarray(tensor, np.float64) for name, tensor in tensors.items()}
  split = (POOLER_HEADS, vit.pooled // POOLER_HEADS)
  query = of[root + _QUERY][0]
  query = (query - query.mean()) / np.sqrt(query.var() + POOLER_EPSILON)
  query = query * of[f"{place}ln_q.weight"] + of[f"{place}ln_q.bias"]
  # The bias of keys adds as much to the logits of all tokens, which changes nothing.
  bias, _, value_bias = np.split(of[f"{place}attn.in_proj_bias"], 3)
  query = (of[f"{place}attn.q_proj_weight"] @ query + bias).reshape(split) * split[1] ** -0.5
  key, value = (
    of[f"{place}attn.{name}_proj_weight"].reshape(*split, vit.width) for name in ("k", "v")
  )
  out = of[f"{place}attn.out_proj.weight"]
  joined = np.einsum("hcw,ohc->hwo", value, out.reshape(vit.pooled, *split))
  found = {
    "norm_tokens": _norm(of, f"{place}ln_k"),
    "seed": {"kernel": np.einsum("hc,hcw->wh", query, key)},
    "out": {
      "kernel": joined.reshape(-1, vit.pooled),
      "bias": out @ value_bias + of[f"{place}attn.out_proj.bias"],
    },
    "norm": _norm(of, f"{root}ln_contrast"),
  }
  return jax.tree.map(lambda leaf: leaf.astype(np.float32), found)


def _timm(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """In float32, by the names of timm, without what comes before them in the file."""
  first = next((name for name in tensors if name.endswith(_FIRST)), None)
  if first is None:
    raise KeyError(_FIRST[0])
  root = first[: -len(next(end for end in reversed(_FIRST) if first.endswith(end)))]
  named = {}
  for name, tensor in tensors.items():
    if name.startswith(root):
      name = name[len(root) :]
      for theirs, ours in _IN_TIMM:
        name = re.sub(theirs, ours, name)
      named[name] = tensor.astype(np.float32)
  return named


def _block(of: dict[str, np.ndarray], place: str, vit: PretrainedViT) -> dict[str, Any]:
  if f"{place}attn.query.weight" in of:
    for part in ("weight", "bias"):
      split = [of.pop(f"{place}attn.{name}.{part}") for name in ("query", "key", "value")]
      of[f"{place}attn.qkv.{part}"] = np.concatenate(split)
  heads = (3, vit.num_heads, vit.width // vit.num_heads)
  qkv = {
    # Of `SelfAttention`, the heads come first.
    name: value.reshape(*value.shape[:-1], *heads).swapaxes(-3, -2).reshape(value.shape)
    for name, value in _dense(of, f"{place}attn.qkv").items()
  }
  return {
    "norm_attention": _norm(of, f"{place}norm1"),
    "attention": {"qkv": qkv, "out": _dense(of, f"{place}attn.proj", f"{place}ls1.gamma")},
    "norm_mlp": _norm(of, f"{place}norm2"),
    "mlp": {
      "up": _dense(of, f"{place}mlp.fc1"),
      "down": _dense(of, f"{place}mlp.fc2", f"{place}ls2.gamma"),
    },
  }


def _dense(of: dict[str, np.ndarray], name: str, scale: str = "") -> dict[str, np.ndarray]:
  gamma = of.pop(scale, np.float32(1.0))
  return {"kernel": of.pop(f"{name}.weight").T * gamma, "bias": of.pop(f"{name}.bias") * gamma}


def _norm(of: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
  return {"scale": of.pop(f"{name}.weight"), "bias": of.pop(f"{name}.bias")}


def _positions(
  stored: Float[np.ndarray, "position width"], vit: PretrainedViT, in_transformers: bool
) -> tuple[Float[np.ndarray, "prefix width"], Float[np.ndarray, "token width"]]:
  """Of the tokens in front, as many as have one, and of the pieces."""
  num_prefix = next(
    (n for n in (0, 1, 1 + vit.registers) if math.isqrt(len(stored) - n) ** 2 == len(stored) - n),
    None,
  )
  if num_prefix is None:
    raise ValueError(f"{len(stored)} positions, which are no square")
  prefix, pieces = stored[:num_prefix], stored[num_prefix:]
  old, new = math.isqrt(len(pieces)), vit.px // vit.token_px
  if old != new and vit.pooled:
    raise ValueError(f"positions of {old} x {old} pieces")
  if old != new:
    # In transformers only the networks with registers smooth before they shrink.
    along = cubic(old, new, smooth=not in_transformers or vit.registers > 0)
    grid = pieces.reshape(old, old, -1)
    pieces = np.einsum("yr,xc,rcw->yxw", along, along, grid).reshape(new * new, -1)
  return prefix, pieces.astype(np.float32)


def cubic(old: int, new: int, *, smooth: bool) -> Float[np.ndarray, "new old"]:
  """Cubic interpolation from `old` to `new` places on a line, as a matrix.

  Args:
    smooth: average over what a new place covers; its cubic is then Keys' (a = -0.5), otherwise the
      sharper one of torch (a = -0.75), beyond whose ends the last value goes on.
  """
  a, stretch = (-0.5, max(old / new, 1.0)) if smooth else (-0.75, 1.0)
  centre = (np.arange(new)[:, None] + 0.5) * old / new - 0.5
  reach = math.ceil(2 * stretch) + 1
  place = np.floor(centre).astype(int) + np.arange(-reach, reach + 1)[None]
  x = np.abs(place - centre) / stretch
  weight = np.where(
    x <= 1, ((a + 2) * x - (a + 3)) * x**2 + 1, np.where(x < 2, a * (((x - 5) * x + 8) * x - 4), 0)
  )
  if smooth:
    weight = np.where((place >= 0) & (place < old), weight, 0.0)
  matrix = np.zeros((new, old))
  np.add.at(matrix, (np.arange(new)[:, None], place.clip(0, old - 1)), weight)
  return matrix / matrix.sum(1, keepdims=True)
