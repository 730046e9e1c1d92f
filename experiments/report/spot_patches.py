"""The H&E patches of a few spots, read through the loader."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int, UInt8

from data_pipelines.loading import loader
from data_pipelines.loading.corpus import Corpus
from data_pipelines.loading.windows import Windows
from experiments.inputs import SPLITS


def spot_patches(
  corpus: Corpus, spot_index: Int[np.ndarray, " spot"]
) -> UInt8[np.ndarray, "spot height width 3"]:
  """Patches of the given rows of the corpus, in their order; black where a spot has none."""
  windows = Windows(corpus, SPLITS)
  section_row = {s["section_id"]: row for row, s in enumerate(corpus.manifest["sections"])}
  chosen = corpus.spots.iloc[spot_index]
  rows = np.array([section_row[name] for name in chosen["section_id"]])
  numbers = np.searchsorted(windows.section, rows) + chosen["window"].to_numpy()
  px = corpus.patch_px
  patches = np.zeros((len(spot_index), px, px, 3), np.uint8)
  for number in np.unique(numbers):
    window = loader.assembled(windows, np.array([number]), 1)
    place = {int(spot): at for at, spot in enumerate(window["spot_index"][0])
             if window["spot_mask"][0, at]}  # fmt: skip
    for at in np.flatnonzero(numbers == number):
      patches[at] = window["patches"][0, place[int(spot_index[at])]]
  return patches
