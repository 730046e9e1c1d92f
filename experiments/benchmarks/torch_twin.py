"""The two towers and the contrast once more, as one would write them in PyTorch.

They read the parameters of ours and give the same figures: a peer that is anything else says
nothing. Attention is PyTorch's own fused one.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import torch
from torch.nn import functional as F

from hibio.configs import ModelConfig, TransformerConfig
from hibio.encoders.vit import convolution_channels
from hibio.expression import SCALE

Tree = dict[str, Any]


def of_flax(tree: Tree, device: str = "cpu") -> Tree:
  """Parameters, or their gradients, as PyTorch lays them out, block by block."""
  if "blocks" in tree:
    blocks = tree["blocks"]
    depth = len(jax.tree.leaves(blocks)[0])
    apart = {f"block_{n}": jax.tree.map(lambda leaf, n=n: leaf[n], blocks) for n in range(depth)}
    tree = {name: part for name, part in tree.items() if name != "blocks"} | apart
  return {
    name: of_flax(part, device) if isinstance(part, dict) else _leaf(name, part).to(device)
    for name, part in tree.items()
  }


def _leaf(name: str, values: jax.Array) -> torch.Tensor:
  values = np.asarray(values)
  if name == "kernel":  # (height, width, in, out) of a convolution, (in, out) of a linear map
    values = values.transpose(3, 2, 0, 1) if values.ndim == 4 else values.T
  return torch.from_numpy(np.array(values, np.float32))


def leaves(tree: Tree) -> list[torch.Tensor]:
  """Of a tree, in an order that is the same for a tree of the same names."""
  return [one for _, part in sorted(tree.items()) for one in _of_part(part)]


def _of_part(part: Tree | torch.Tensor) -> list[torch.Tensor]:
  return leaves(part) if isinstance(part, dict) else [part]


def image_tower(params: Tree, patches: torch.Tensor, config: ModelConfig) -> torch.Tensor:
  """The vision transformer: `[patch, side, side, 3]` of 8 bits -> `[patch, width]`."""
  dtype = params["token"]["kernel"].dtype
  pixels = (patches.to(dtype) / 255.0 - 0.65) / 0.2
  image = pixels.permute(0, 3, 1, 2)  # of memory that lies channels last
  for number in range(len(convolution_channels(config.image.width, config.token_px))):
    kernel = params[f"convolution_{number}"]
    image = F.conv2d(image, kernel["kernel"], kernel["bias"], stride=2, padding=1)
    image = _norm(params[f"norm_{number}"], image.permute(0, 2, 3, 1))
    image = F.gelu(image, approximate="tanh").permute(0, 3, 1, 2)
  tokens = linear(params["token"], image.flatten(2).transpose(1, 2))
  return _transformer(params["transformer"], tokens + params["positions"], config.image).mean(1)


def gene_tower(
  params: Tree, gene_table: torch.Tensor, keywords: dict[str, torch.Tensor], config: ModelConfig
) -> torch.Tensor:
  """The keyword transformer; all keywords are real and all genes measured."""
  weight, width = keywords["weight"], config.gene.width
  rank = (weight[..., None, :] > weight[..., :, None]).sum(-1) / weight.shape[-1]
  expression = torch.log1p(SCALE * keywords["fraction"]) / 8.0
  told = torch.stack([expression, weight, rank, torch.ones_like(rank)], -1).to(gene_table.dtype)
  values = F.gelu(linear(params["value_in"], told), approximate="tanh")
  tokens = gene_table[keywords["gene"]] * width**0.5 + linear(params["value_out"], values)
  tokens = _transformer(params["transformer"], tokens, config.gene)
  pull = params["trust"] * weight.clamp_min(1e-6).log()
  logits = F.linear(tokens, params["pooling"]["seed"]["kernel"]).transpose(1, 2)
  pooled = (logits + pull[:, None]).softmax(-1).to(tokens.dtype) @ tokens
  return linear(params["pooling"]["out"], pooled.flatten(1))


def contrast(image: torch.Tensor, gene: torch.Tensor, log_scale: torch.Tensor) -> torch.Tensor:
  """Symmetric cross-entropy of each pair against all others."""
  logits = log_scale.exp() * (F.normalize(image.float()) @ F.normalize(gene.float()).T)
  own = torch.arange(len(logits), device=logits.device)
  return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def _transformer(params: Tree, tokens: torch.Tensor, config: TransformerConfig) -> torch.Tensor:
  for number in range(config.depth):
    block = params[f"block_{number}"]
    tokens = tokens + _attention(
      block["attention"], _norm(block["norm_attention"], tokens), config.num_heads
    )
    up = linear(block["mlp"]["up"], _norm(block["norm_mlp"], tokens))
    tokens = tokens + linear(block["mlp"]["down"], F.gelu(up, approximate="tanh"))
  return _norm(params["norm"], tokens)


def _attention(params: Tree, tokens: torch.Tensor, heads: int) -> torch.Tensor:
  sets, length, width = tokens.shape
  qkv = linear(params["qkv"], tokens).view(sets, length, heads, 3, width // heads)
  query, key, value = qkv.permute(3, 0, 2, 1, 4)
  mixed = F.scaled_dot_product_attention(query, key, value)
  return linear(params["out"], mixed.transpose(1, 2).reshape(sets, length, width))


def linear(params: Tree, values: torch.Tensor) -> torch.Tensor:
  """A layer's linear map."""
  return F.linear(values, params["kernel"], params["bias"])


def _norm(params: Tree, values: torch.Tensor) -> torch.Tensor:
  return F.layer_norm(values, values.shape[-1:], params["scale"], params["bias"], eps=1e-6)
