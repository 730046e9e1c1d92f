"""A control that must lose what neighbours give: every spot keeps its tissue, at another's place.

Coordinates are permuted among the spots of each section. A spot is then shown beside spots that
are not its neighbours; what it is scored on stays as it was.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from data_pipelines.loading import loader
from data_pipelines.loading.corpus import Corpus
from hibio.corpora import SPLITS
from hibio.evaluation.gather import WINDOWS_PER_BATCH

CARRIED = ("patches", "features", "counts", "has_patch", "has_counts", "spot_index")
"""What a spot takes along to its new place."""

Arrays = dict[str, np.ndarray]


def swapped_windows(corpus: Corpus, seed: int = 0) -> Iterator[Arrays]:
  """Every spot of the corpus once, at the place of another spot of its section."""
  rng = np.random.default_rng(seed)
  one_by_one = loader.windows_once(corpus, SPLITS, windows_per_batch=1)
  for _, windows in itertools.groupby(one_by_one, lambda window: int(window["section_index"][0])):
    section = _stacked(list(windows))
    yield from _batches(permuted(section, rng))


def permuted(section: Arrays, rng: np.random.Generator) -> Arrays:
  """The windows of one section with what their real spots carry reshuffled among them."""
  window, place = np.nonzero(section["spot_mask"])
  order = rng.permutation(len(window))
  moved = dict(section)
  for name in section.keys() & set(CARRIED):
    moved[name] = section[name].copy()
    moved[name][window, place] = section[name][window[order], place[order]]
  return moved


def _stacked(windows: list[Arrays]) -> Arrays:
  return {name: np.concatenate([one[name] for one in windows]) for name in windows[0]}


def _batches(section: Arrays) -> Iterator[Arrays]:
  """Batches of the size that a model is compiled for; the last is filled up with empty windows."""
  number = len(section["section_index"])
  for start in range(0, number, WINDOWS_PER_BATCH):
    batch = {name: values[start : start + WINDOWS_PER_BATCH] for name, values in section.items()}
    missing = WINDOWS_PER_BATCH - len(batch["section_index"])
    yield {
      name: np.concatenate([values, np.zeros((missing, *values.shape[1:]), values.dtype)])
      for name, values in batch.items()
    }
