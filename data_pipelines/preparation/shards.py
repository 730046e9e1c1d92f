"""How windows are stored: one TFDS dataset (ArrayRecord) per section, one element per window.

The pixels of a patch are JPEG bytes, counts are flat with offsets. A section's dataset knows
nothing of the rest of the corpus: `spot_index` counts within the section, so that adding a section
to a corpus rewrites no other. The manifest holds where each section begins.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import scipy.sparse
import tensorflow_datasets as tfds
from jaxtyping import Float, Int
from tensorflow_datasets.core.example_serializer import ExampleSerializer

from data_pipelines.files import sha256
from data_pipelines.problems import BadInputError

VERSION = "1.0.0"
SPLIT = "windows"

_F = tfds.features


@dataclasses.dataclass(frozen=True)
class WindowedSpots:
  """The spots of one section in the order of their windows, ready to be written.

  Attributes:
    counts: over the gene panel.
    positions_um: spot centres.
    window: window of each spot, not decreasing.
    patches: JPEG bytes of each spot; empty without an image.
    patch_px: side of the patches.
  """

  counts: scipy.sparse.csr_matrix
  positions_um: Float[np.ndarray, "spot 2"]
  window: Int[np.ndarray, " spot"]
  patches: Sequence[bytes]
  patch_px: int


def write(spots: WindowedSpots, folder: Path) -> dict[str, str]:
  """Writes the dataset into `folder/<VERSION>`.

  Returns:
    File, relative to `folder` -> SHA-256 in hexadecimal digits.
  """
  work = folder / ".tfds"
  builder = SectionWindows(_elements(spots), spots.patch_px, str(work))
  config = tfds.download.DownloadConfig(
    register_checksums=False,
    try_download_gcs=False,
    compute_stats=tfds.download.ComputeStatsMode.SKIP,
  )
  with _quiet(), _same_bytes_each_time():
    builder.download_and_prepare(download_config=config)
  os.rename(Path(builder.data_dir), folder / VERSION)
  for left in sorted(work.rglob("*"), reverse=True):
    left.rmdir() if left.is_dir() else left.unlink()
  work.rmdir()
  return {
    f"{VERSION}/{path.name}": sha256(path)
    for path in sorted((folder / VERSION).iterdir())
    if ".array_record" in path.name
  }


def open_windows(folder: Path):
  """Random access to the windows of one section's folder: `len()`, `[number] -> dict of arrays`.

  Patches stay JPEG bytes.

  Raises:
    BadInputError: no dataset there, or a damaged one.
  """
  try:
    builder = tfds.builder_from_directory(folder / VERSION)
    return builder.as_data_source(split=SPLIT, decoders={"patches": _KeepEncoded()})
  except Exception as error:  # TFDS and ArrayRecord raise bare RuntimeErrors and others
    raise damaged(folder, "the dataset", error) from error


def read_counts(folder: Path, num_genes: int) -> scipy.sparse.csr_matrix:
  """The counts of one section's folder over the panel, spots in order."""
  windows = open_windows(folder)
  genes, counts, lengths = [], [], []
  for number in range(len(windows)):
    element = read_window(windows, number, folder)
    genes.append(element["gene"])
    counts.append(element["count"])
    lengths.append(np.diff(element["offsets"]))
  indptr = np.r_[0, np.cumsum(np.concatenate(lengths))]
  return scipy.sparse.csr_matrix(
    (np.concatenate(counts), np.concatenate(genes), indptr), shape=(len(indptr) - 1, num_genes)
  )


def read_window(windows, number: int, folder: Path) -> dict[str, np.ndarray]:
  """One element.

  Raises:
    BadInputError: the record is damaged; names the shard and the record.
  """
  try:
    return windows[number]
  except Exception as error:  # as above
    raise damaged(folder, f"window {number}", error) from error


def damaged(folder: Path, field: str, error: Exception) -> BadInputError:
  """What to say of a dataset that cannot be read."""
  shards = sorted((folder / VERSION).glob("*.array_record*"))
  found = (
    f"damaged data ({str(error).splitlines()[0][:120] if str(error) else type(error).__name__})"
  )
  if not shards:
    found = "no shard"
  return BadInputError(
    shards[0] if shards else folder / VERSION,
    field,
    found,
    "an intact ArrayRecord shard",
    f"delete {folder} and run data_pipelines.prepare again with the same flags",
  )


class _KeepEncoded(tfds.decode.SkipDecoding):
  """Hands over JPEG bytes as they are; TFDS itself can do so for single images only."""

  def decode_batch_example_np(self, serialized_examples):
    return serialized_examples


class SectionWindows(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  """Windows of neighbouring spots of one tissue section."""

  VERSION = tfds.core.Version(VERSION)
  # TFDS would look for checksums of downloads beside this file, through a package we do not need.
  code_path = None

  def __init__(self, elements: Iterator[tuple[int, dict]], patch_px: int, data_dir: str):
    # TFDS keeps every builder for the life of the process: only an iterator may hang on it.
    self._elements, self._patch_px = elements, patch_px
    super().__init__(data_dir=data_dir, file_format="array_record")

  def _info(self) -> tfds.core.DatasetInfo:
    px = self._patch_px
    flat = dict(shape=(None,), dtype=np.int32, encoding=_F.Encoding.BYTES)
    return tfds.core.DatasetInfo(
      builder=self,
      disable_shuffling=True,
      features=_F.FeaturesDict(
        {
          "patches": _F.Sequence(_F.Image(shape=(px, px, 3), encoding_format="jpeg")),
          "gene": _F.Tensor(**flat),
          "count": _F.Tensor(**flat),
          "offsets": _F.Tensor(**flat),
          "positions_um": _F.Tensor(shape=(None, 2), dtype=np.float32),
          "spot_index": _F.Tensor(**flat),
        }
      ),
    )

  def _split_generators(self, dl_manager):
    return {SPLIT: self._generate_examples()}

  def _generate_examples(self):
    yield from self._elements


def _elements(spots: WindowedSpots) -> Iterator[tuple[int, dict]]:
  starts = np.searchsorted(spots.window, np.arange(spots.window[-1] + 2))
  for number, (start, stop) in enumerate(zip(starts[:-1], starts[1:], strict=True)):
    counts = spots.counts[start:stop]
    yield (
      number,
      {
        "patches": [io.BytesIO(patch) for patch in spots.patches[start:stop]],
        "gene": counts.indices.astype(np.int32),
        "count": counts.data.astype(np.int32),
        "offsets": counts.indptr.astype(np.int32),
        "positions_um": spots.positions_um[start:stop].astype(np.float32),
        "spot_index": np.arange(start, stop, dtype=np.int32),
      },
    )


@contextlib.contextmanager
def _same_bytes_each_time() -> Iterator[None]:
  """Has the fields of an element written in the order of their names.

  TFDS leaves their order to Protocol Buffers, which draws another one in every process; the digests
  in the manifest, and with them the fingerprint of a corpus, would then be of the process too.
  """

  def serialize(self, example):
    return self.get_tf_example(example).SerializeToString(deterministic=True)

  with mock.patch.object(ExampleSerializer, "serialize_example", serialize):
    yield


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """TFDS prints what it does; we print one line per section ourselves."""
  tfds.disable_progress_bar()
  with contextlib.redirect_stdout(io.StringIO()):
    yield
