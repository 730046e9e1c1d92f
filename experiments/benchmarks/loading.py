"""C4: patches and counts that are ready for the device, against PyTorch's loader with Pillow.

python -m experiments.benchmarks.loading
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import numpy as np

from data_pipelines.loading import loader
from data_pipelines.loading.corpus import Corpus
from data_pipelines.loading.windows import Windows
from experiments.benchmarks import side_by_side
from experiments.benchmarks.side_by_side import Case, Pair
from hibio import corpora

SPLITS = ("train", "validation", "test")
WINDOWS = 4
"""Of a batch; the peer loads a window as one of its batches."""


def _both(quick: bool) -> Pair:
  """One pass over a corpus: its spots, their counts, and the mean of all pixels."""
  import torch
  from PIL import Image

  folder = tempfile.TemporaryDirectory()
  corpus = Corpus.open(corpora.corpus("tiny" if quick else "small", 0, Path(folder.name)))
  genes = len(corpus.panel)

  def ours() -> np.ndarray:
    assert folder  # it goes when nothing holds it any more
    return _totals(
      (batch["spot_mask"].sum(), batch["counts"].sum(), batch["patches"][batch["has_patch"]])
      for batch in loader.windows_once(corpus, SPLITS, WINDOWS, num_threads=1)
    )

  windows = Windows(corpus, SPLITS)

  class Spots(torch.utils.data.Dataset):
    """A window an item, as somebody writes it who has no loader of batches."""

    def __len__(self) -> int:
      return len(windows)

    def __getitem__(self, number: int):
      window = windows[number]
      counts = torch.zeros(len(window["spot_index"]), genes)
      rows = np.repeat(np.arange(len(counts)), np.diff(window["offsets"]))
      counts[rows, window["gene"].astype(np.int64)] = torch.from_numpy(
        window["count"].astype(np.float32)
      )
      patches = [
        torch.from_numpy(np.asarray(Image.open(io.BytesIO(one)).convert("RGB"), np.float32))
        for one in window["patches"]
      ]
      return counts, torch.stack([one.permute(2, 0, 1) / 255 for one in patches])

  def theirs() -> np.ndarray:
    torch.set_num_threads(1)
    every = torch.utils.data.DataLoader(Spots(), batch_size=None)
    return _totals((len(counts), counts.sum(), 255 * patches) for counts, patches in every)

  return ours, theirs


def _totals(batches) -> np.ndarray:
  spots, counts, means = zip(*((s, c, float(p.mean())) for s, c, p in batches), strict=True)
  return np.array([float(sum(spots)), float(sum(counts)), float(np.mean(means))])


def _same(ours: np.ndarray, theirs: np.ndarray) -> None:
  """All spots and counts; pixels but for how two decoders round."""
  np.testing.assert_array_equal(ours[:2], theirs[:2])
  np.testing.assert_allclose(ours[2], theirs[2], atol=2)


CASES = (
  Case(
    "C4 one pass over a corpus", "PyTorch's DataLoader + Pillow", goal=3.0, of=_both, same=_same,
    needs=("torch",), rounds=5,
  ),
)  # fmt: skip

if __name__ == "__main__":
  side_by_side.run(__doc__, CASES)
