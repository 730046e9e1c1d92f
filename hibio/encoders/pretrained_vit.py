"""The vision transformers that pathology's encoders are, as one module with a few switches.

What differs between them only in how it is written down is settled when weights are converted:
positions of the class token and of registers are added to these tokens, and LayerScale is part of
the matrices before it. Files name their tensors as timm does, or as transformers does.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from hibio.configs import TransformerConfig
from hibio.encoders.vit import cut
from hibio.nn.layers import Dense, SelfAttention, Transformer, in_last_blocks, normed

_SCANNED = 24  # blocks, from which on unrolling them takes minutes to compile


class PretrainedViT(nn.Module):
  """A class token, registers and pieces of the patch attend to each other.

  Attributes:
    width: channels of a token.
    depth: number of blocks.
    num_heads: of attention.
    hidden: width inside the feed-forward part.
    token_px: side of a piece in pixels.
    px: side of the patch.
    registers: further tokens, which are not read.
    gated: SwiGLU in place of GELU.
    epsilon: of norms.
    mean: of pixels between 0 and 1, by colour.
    std: their standard deviation.
    reads: "class", the class token, and "mean", that of the pieces, in this order.

  References:
    Dosovitskiy et al. 2021, arXiv:2010.11929; Oquab et al. 2023, arXiv:2304.07193 (DINOv2);
    Darcet et al. 2023, arXiv:2309.16588 (registers); Shazeer 2020, arXiv:2002.05202 (SwiGLU).
  """

  width: int
  depth: int
  num_heads: int
  hidden: int
  token_px: int
  px: int = 224
  registers: int = 0
  gated: bool = False
  epsilon: float = 1e-6
  mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # ImageNet's
  std: tuple[float, float, float] = (0.229, 0.224, 0.225)
  reads: tuple[str, ...] = ("class",)

  @nn.compact
  def __call__(self, patches: UInt8[Array, "patch px px 3"]) -> list[Float[Array, "patch _"]]:
    """A vector of each patch for each of `reads`."""
    mean, std = (jnp.asarray(of)[None, None, None] for of in (self.mean, self.std))
    pixels = (patches.astype(jnp.float32) / 255.0 - mean) / std
    tokens = Dense(self.width, name="token")(cut(pixels, self.token_px))
    init = nn.initializers.normal(0.02)
    tokens = tokens + self.param("positions", init, tokens.shape[1:])[None]
    prefix = self.param("prefix", init, (1 + self.registers, self.width))
    prefix = jnp.broadcast_to(prefix[None], (len(tokens), *prefix.shape))
    block = functools.partial(Block, hidden=self.hidden, gated=self.gated, epsilon=self.epsilon)
    transformer = Transformer(self.config, block=block, epsilon=self.epsilon, name="transformer")
    tokens = transformer(jnp.concatenate([prefix, tokens], axis=1))
    found = {"class": tokens[:, 0], "mean": tokens[:, 1 + self.registers :].mean(1)}
    return [found[name] for name in self.reads]

  @property
  def config(self) -> TransformerConfig:
    """Its size, as other transformers of the library tell theirs."""
    return TransformerConfig(
      self.width, self.depth, self.num_heads, self.hidden / self.width, self.depth >= _SCANNED
    )

  @property
  def num_blocks(self) -> int:
    """See `hibio.encoders.base.Encoder`."""
    return self.depth

  def in_last_blocks(self, path: str, number: int) -> bool | np.ndarray:
    """See `hibio.encoders.base.Encoder`."""
    return in_last_blocks(path, "transformer", self.depth, number)


class Block(nn.Module):
  """Attention, then a feed-forward part, each added to what came in."""

  config: TransformerConfig
  dtype: jax.typing.DTypeLike
  hidden: int
  gated: bool
  epsilon: float

  @nn.compact
  def __call__(
    self, tokens: Float[Array, "set token width"], mask: None = None
  ) -> Float[Array, "set token width"]:
    attention = SelfAttention(
      self.config.num_heads, self.dtype, self.config.attention, name="attention"
    )
    tokens = tokens + attention(normed("norm_attention", tokens, self.epsilon), mask)
    feed_forward = FeedForward(self.hidden, self.gated, self.dtype, name="mlp")
    return tokens + feed_forward(normed("norm_mlp", tokens, self.epsilon))


class FeedForward(nn.Module):
  """Two layers over each token by itself: exact GELU between them, or SwiGLU."""

  hidden: int
  gated: bool
  dtype: jax.typing.DTypeLike

  @nn.compact
  def __call__(self, tokens: Float[Array, "*dims width"]) -> Float[Array, "*dims width"]:
    up = Dense(self.hidden * (2 if self.gated else 1), dtype=self.dtype, name="up")(tokens)
    if self.gated:
      gate, up = jnp.split(up, 2, axis=-1)
      up = jax.nn.silu(gate) * up
    else:
      up = nn.gelu(up, approximate=False)
    return Dense(tokens.shape[-1], dtype=self.dtype, name="down")(up)


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

  Positions of another number of pieces are resized as these libraries do.

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
  if more := [name for name in of if name.startswith(("blocks.", "reg_token"))]:
    raise ValueError(f"{more[0]}, which this network does not have")
  return params


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
