"""An encoder that takes no time: mean colours of two views."""

from __future__ import annotations

import numpy as np


class Colours:
  """As `hibio.features.Encoder`; counts its spots, and can stop in the middle."""

  views = ((40.0, 8), (80.0, 8))
  width = 6

  def __init__(self, hash: str = "0" * 16, stop_after: int = 1_000_000):
    self.about = {
      "name": "colours",
      "hash": hash,
      "licence": "none",
      "views": [list(view) for view in self.views],
      "width": self.width,
      "blocks": [["40 um", 3], ["80 um", 3]],
    }
    self.spots, self._left = 0, stop_after

  def __call__(self, patches):
    if self._left == 0:
      raise KeyboardInterrupt
    self._left -= 1
    self.spots += len(patches[0])
    assert all(view.shape[1:] == (8, 8, 3) and view.dtype == np.uint8 for view in patches)
    return np.concatenate([view.mean((1, 2)) for view in patches], axis=1).astype(np.float32)
