"""How windows are stored: one TFDS dataset (ArrayRecord) per section, one element per window.

The pixels of a patch are JPEG bytes, counts are flat with offsets. A section's dataset knows
nothing of the rest of the corpus: `spot_index` counts within the section, so that adding a section
to a corpus rewrites no other. The manifest holds where each section begins.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import io
import itertools
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from unittest import mock

import numpy as np
import scipy.sparse
import tensorflow_datasets as tfds
from array_record.python.array_record_data_source import ArrayRecordDataSource
from jaxtyping import Float, Int
from tensorflow_datasets.core.example_serializer import ExampleSerializer

from data_pipelines.files import visible
from data_pipelines.problems import BadInputError

VERSION = "1.0.0"
SPLIT = "windows"

_SHARD = re.compile(rf"section_windows-{SPLIT}\.array_record-\d{{5}}-of-(\d{{5}})")

_F = tfds.features


@dataclasses.dataclass(frozen=True)
class WindowedSpots:
  """The spots of one section in the order of their windows, ready to be written.

  Attributes:
    counts: over the gene panel.
    positions_um: spot centres.
    window: window of each spot, not decreasing.
    patches: JPEG bytes of each spot, used up as they are written; none without an image.
    patch_px: side of the patches.
  """

  counts: scipy.sparse.csr_matrix
  positions_um: Float[np.ndarray, "spot 2"]
  window: Int[np.ndarray, " spot"]
  patches: Iterable[bytes]
  patch_px: int


def write(spots: WindowedSpots, folder: Path) -> None:
  """Writes the dataset into `folder/<VERSION>`."""
  work = folder / ".tfds"
  builder = SectionWindows(_elements(spots), spots.patch_px, str(work))
  config = tfds.download.DownloadConfig(
    register_checksums=False,
    try_download_gcs=False,
    compute_stats=tfds.download.ComputeStatsMode.SKIP,
  )
  with _quiet(), _same_bytes_each_time(), _full_disk_told():
    builder.download_and_prepare(download_config=config)
  os.rename(Path(builder.data_dir), folder / VERSION)
  for left in sorted(work.rglob("*"), reverse=True):
    left.rmdir() if left.is_dir() else left.unlink()
  work.rmdir()


class StoredWindows:
  """Random access to the windows of one section's folder: `len()`, `[number] -> dict of arrays`.

  Patches stay JPEG bytes. What the folder says of its own features is not read: TFDS would import
  whatever module it names.
  """

  def __init__(self, folder: Path, num_genes: int):
    """Opens the shards.

    Args:
      num_genes: of the panel that counts are over.

    Raises:
      BadInputError: no dataset there, or a damaged one.
    """
    self._folder, self._num_genes = folder, num_genes
    try:
      shards = _shards(folder)
      if [int(_SHARD.fullmatch(path.name)[1]) for path in shards] != [len(shards)] * len(shards):
        raise ValueError(f"{len(shards)} shards, which are not as many as their names say")
      self._records = ArrayRecordDataSource(shards)
    except Exception as error:  # ArrayRecord raises bare RuntimeErrors and others
      raise damaged(folder, "the dataset", error) from error

  def __len__(self) -> int:
    return len(self._records)

  def __getitem__(self, number: int) -> dict[str, np.ndarray]:
    """One element.

    Raises:
      BadInputError: the record is damaged; names the shard and the record.
    """
    try:
      element = _features().deserialize_example_np(
        self._records[number], decoders={"patches": _KeepEncoded()}
      )
      _check(element, self._num_genes)
    except Exception as error:  # as above, and whatever TFDS raises
      raise damaged(self._folder, f"window {number}", error) from error
    return element

  def counts(self) -> scipy.sparse.csr_matrix:
    """The counts of all spots over the panel, in order."""
    elements = [self[number] for number in range(len(self))]
    genes, counts = (np.concatenate([one[name] for one in elements]) for name in ("gene", "count"))
    lengths = np.concatenate([np.diff(one["offsets"]) for one in elements])
    indptr = np.r_[0, np.cumsum(lengths)]
    return scipy.sparse.csr_matrix(
      (counts, genes, indptr), shape=(len(indptr) - 1, self._num_genes)
    )


def _check(element: Mapping[str, np.ndarray], num_genes: int) -> None:
  """Refuses what would crash whoever uses it: a file that is intact may have been made so."""
  gene, count, offsets = (element[name] for name in ("gene", "count", "offsets"))
  spots = len(element["spot_index"])
  fits = (
    len(offsets) == spots + 1
    and (offsets[0], offsets[-1]) == (0, len(gene))
    and (np.diff(offsets) >= 0).all()
    and len(count) == len(gene)
    and (not len(gene) or (gene.min() >= 0 and gene.max() < num_genes and count.min() >= 0))
    and element["positions_um"].shape == (spots, 2)
    and np.isfinite(element["positions_um"]).all()
    and len(element["patches"]) in (0, spots)
  )
  if not fits:
    raise ValueError("its parts do not fit together")


def _shards(folder: Path) -> list[Path]:
  """Files as `write` names them: a copy that lies beside them would be read as more windows."""
  return [path for path in visible(folder / VERSION) if _SHARD.fullmatch(path.name)]


def damaged(folder: Path, field: str, error: Exception) -> BadInputError:
  """What to say of a dataset that cannot be read."""
  shards = _shards(folder)
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
    return tfds.core.DatasetInfo(
      builder=self, disable_shuffling=True, features=_features(self._patch_px)
    )

  def _split_generators(self, dl_manager):
    return {SPLIT: self._generate_examples()}

  def _generate_examples(self):
    yield from self._elements


@functools.cache
def _features(patch_px: int | None = None) -> _F.FeaturesDict:
  """What an element is made of; of whoever reads, the side of a patch is not asked."""
  flat = dict(shape=(None,), dtype=np.int32, encoding=_F.Encoding.BYTES)
  return _F.FeaturesDict(
    {
      "patches": _F.Sequence(_F.Image(shape=(patch_px, patch_px, 3), encoding_format="jpeg")),
      "gene": _F.Tensor(**flat),
      "count": _F.Tensor(**flat),
      "offsets": _F.Tensor(**flat),
      "positions_um": _F.Tensor(shape=(None, 2), dtype=np.float32),
      "spot_index": _F.Tensor(**flat),
    }
  )


def _elements(spots: WindowedSpots) -> Iterator[tuple[int, dict]]:
  starts = np.searchsorted(spots.window, np.arange(spots.window[-1] + 2))
  patches = iter(spots.patches)
  for number, (start, stop) in enumerate(zip(starts[:-1], starts[1:], strict=True)):
    counts = spots.counts[start:stop]
    yield (
      number,
      {
        "patches": [io.BytesIO(patch) for patch in itertools.islice(patches, stop - start)],
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
def _full_disk_told() -> Iterator[None]:
  """ArrayRecord raises what the system says of a full disk under another name."""
  try:
    yield
  except (RuntimeError, ValueError) as error:
    if "No space left" in str(error):
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
    raise


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """TFDS prints what it does; we print one line per section ourselves."""
  tfds.disable_progress_bar()
  with contextlib.redirect_stdout(io.StringIO()):
    yield
