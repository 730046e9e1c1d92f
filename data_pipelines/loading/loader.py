"""Batches of windows as dictionaries of NumPy arrays, keyed like `hibio.batch.Batch`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import grain
import numpy as np
import simplejpeg
from jaxtyping import Int

from data_pipelines.loading.corpus import Corpus
from data_pipelines.loading.order import MixedOrder
from data_pipelines.loading.windows import Windows
from data_pipelines.problems import BadInputError

Arrays = dict[str, np.ndarray]

grain.config.update("py_traceback_filtering", "off")  # it adds lines to every message

_MAX_STEPS = 2**40
"""The sequence is endless; Grain wants a length."""


def batches(
  corpus: Corpus,
  split: str,
  *,
  windows_per_batch: int,
  sections_per_batch: int,
  seed: int,
  paired_share: float = 1.0,
  start_step: int = 0,
  num_threads: int = 2,
  rows: Sequence[int] | None = None,
) -> Iterator[Arrays]:
  """Endless batches from step `start_step` on, each window once an epoch of its kind.

  What step n holds depends on the seed, n and the numbers given here alone, not on threads,
  restarts or the number of processes.

  Args:
    rows: of each batch that are read: the part of a process; all by default.
    paired_share: of a batch's windows that lie in sections with images; where all sections have
      one, or none has, that changes nothing.

  Raises:
    BadInputError: a split without sections, a damaged shard, or a share that is none.
  """
  if not 0 <= paired_share <= 1:
    raise BadInputError(
      "config", "training.paired_share", f"{paired_share:g}", "a share from 0 to 1", "change it"
    )
  windows = Windows(corpus, (split,))
  order = MixedOrder(
    windows.section,
    corpus.has_image[windows.section],
    windows_per_batch=windows_per_batch,
    sections_per_batch=sections_per_batch,
    paired_share=paired_share,
    seed=seed,
  )
  own = np.arange(windows_per_batch) if rows is None else np.asarray(rows)
  steps = _Steps(start_step, _MAX_STEPS)

  def numbers(step: int) -> np.ndarray:
    batch = order.batch(step)
    return batch[own[own < len(batch)]]  # places beyond are empty windows

  data = grain.MapDataset.source(steps).map(numbers)
  return _iterate(data, windows, len(own), num_threads)


def windows_once(
  corpus: Corpus,
  splits: Sequence[str],
  windows_per_batch: int,
  num_threads: int = 2,
  decoded: bool = True,
) -> Iterator[Arrays]:
  """Every window of `splits` once, in the order of the corpus.

  The last batch is filled up with empty windows, whose spots are all padding.

  Args:
    decoded: whether patches are handed over; else their side is 0.
  """
  windows = Windows(corpus, splits)
  steps = _Steps(0, -(-len(windows) // windows_per_batch))
  data = grain.MapDataset.source(steps).map(
    lambda step: np.arange(len(windows))[step * windows_per_batch :][:windows_per_batch]
  )
  return _iterate(data, windows, windows_per_batch, num_threads, decoded)


def assembled(
  windows: Windows, numbers: Int[np.ndarray, " chosen"], places: int, decoded: bool = True
) -> Arrays:
  """One batch of `places` windows; places beyond `numbers` are empty windows.

  Where the corpus has features, they stand in for the patches, whose side is then 0.
  """
  corpus = windows.corpus
  decoded = decoded and corpus.features is None
  spots, px = corpus.window_spots, corpus.patch_px if decoded else 0
  out = {
    "patches": np.zeros((places, spots, px, px, 3), np.uint8),
    "counts": np.zeros((places, spots, len(corpus.panel)), np.int32),
    "positions_um": np.zeros((places, spots, 2), np.float32),
    "spot_mask": np.zeros((places, spots), bool),
    "has_patch": np.zeros((places, spots), bool),
    "has_counts": np.zeros((places, spots), bool),
    "section_index": np.zeros(places, np.int32),
    "spot_index": np.zeros((places, spots), np.int32),
  }
  if corpus.features:
    width = corpus.feature_input.shape[1]
    out["features"] = np.zeros((places, spots, width), np.float32)
  for place, number in enumerate(numbers):
    try:
      _fill({name: one[place, ...] for name, one in out.items()}, windows, int(number), decoded)
    except BadInputError as problem:
      if corpus.quarantine is None:
        raise
      section, window = windows.place_of(int(number))
      name = corpus.manifest["sections"][section]["section_id"]
      corpus.quarantine.leave_out(name, window, problem)
      for array in out.values():
        array[place] = 0
  return out


def _fill(out: Arrays, windows: Windows, number: int, decoded: bool) -> None:
  """Puts a window into its place of every array."""
  corpus, element = windows.corpus, windows[number]
  real = len(element["spot_index"])
  rows = np.repeat(np.arange(real), np.diff(element["offsets"]))
  out["counts"][rows, element["gene"]] = element["count"]
  out["positions_um"][:real] = element["positions_um"]
  out["spot_index"][:real] = element["spot_index"]
  out["section_index"][...] = element["section_index"]
  out["spot_mask"][:real] = True
  out["has_counts"][:real] = True
  if corpus.features:
    out["features"][:real] = corpus.feature_input[element["spot_index"]]
    out["has_patch"][:real] = corpus.features.known[element["spot_index"]]
    return
  out["has_patch"][: len(element["patches"])] = True
  for spot, jpeg in enumerate(element["patches"] if decoded else ()):
    section, window = windows.place_of(number)
    which = f"patch {spot} of window {window}"
    _decode(jpeg, out["patches"][spot], corpus, section, which)


def _decode(jpeg: bytes, into: np.ndarray, corpus: Corpus, section: int, which: str) -> None:
  try:
    shape = simplejpeg.decode_jpeg(jpeg, buffer=into).shape
    found = f"{shape[1]} x {shape[0]} px"
  except ValueError as error:
    shape, found = None, f"no JPEG of that size ({error})"
  if shape != into.shape:
    folder = corpus.section_folder(section)
    raise BadInputError(
      folder,
      which,
      found,
      f"a JPEG of {corpus.patch_px} px a side",
      f"delete {folder} and run data_pipelines.prepare again",
    )


def _iterate(
  data: grain.MapDataset, windows: Windows, places: int, num_threads: int, decoded: bool = True
) -> Iterator[Arrays]:
  # A whole batch is one task of a thread: decoding straight into its arrays saves a copy of each.
  data = data.map(lambda numbers: assembled(windows, numbers, places, decoded))
  options = grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=max(2, num_threads))
  return iter(data.to_iter_dataset(options))


@dataclasses.dataclass(frozen=True)
class _Steps:
  """The steps start, start + 1, ... up to stop."""

  start: int
  stop: int

  def __len__(self) -> int:
    return self.stop - self.start

  def __getitem__(self, index: int) -> int:
    return self.start + int(index)
