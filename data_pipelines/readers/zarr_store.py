"""Checks of a Zarr store before anything in it is used, and images in it.

A codec of a store can run code when an array is decoded, a link can lead out of it, and a few bytes
can declare an array of terabytes. All of that is refused by its metadata alone.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.hdf5_safety import MAX_BYTES
from data_pipelines.problems import BadInputError
from data_pipelines.readers.annotated.contents import StoredImage
from data_pipelines.text_files import recognise

_METADATA = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")
_MOST_METADATA_BYTES = 64 * 1024**2
_MOST_FILES = 2_000_000
_CODECS = frozenset((
  "bytes", "blosc", "zstd", "gzip", "zlib", "lz4", "bz2", "lzma", "crc32c", "transpose", "shuffle",
  "sharding_indexed", "vlen-utf8", "vlen-bytes", "vlen-array", "delta", "endian",
))  # fmt: skip
"""They turn bytes into numbers or text and do nothing else; `pickle` runs what it decodes."""

_CODEC_KEYS = ("codecs", "filters", "compressor", "compressors", "serializer", "index_codecs")
_DISTRUST = "ask the sender for a store written by spatialdata itself"


def check(store: Path) -> None:
  """Refuses a store that must not be read.

  Raises:
    BadInputError: a link out of it, a codec that is not known to be harmless, or an array that is
      larger than any data.
  """
  root = store.resolve()
  for number, path in enumerate(_files(store)):
    if number >= _MOST_FILES:
      raise BadInputError(store, "store", "too many files", f"{_MOST_FILES:,}", _DISTRUST)
    if path.is_symlink() and not path.resolve().is_relative_to(root):
      raise BadInputError(path, "link", "a link out of the store", "data in the store", _DISTRUST)
    if path.name in _METADATA:
      _check_metadata(_json(path), path)


def image_in(store: Path, name: str) -> StoredImage:
  """The largest level of an image of a store, by its name there, e.g. "images/he".

  Raises:
    BadInputError: there is no such image, or it is not of channels, rows and columns.
  """
  folder = store / name
  attributes = _attributes(folder)
  try:
    about = attributes.get("ome", attributes)["multiscales"][0]
    axes = "".join(axis["name"] for axis in about["axes"])
    array = folder / about["datasets"][0]["path"]
  except (KeyError, IndexError, TypeError) as error:
    raise BadInputError(store, name, "no image", "an OME-Zarr image", _DISTRUST) from error
  shape = dict(zip(axes, _shape(array), strict=False))
  if set(shape) != set("cyx"):
    raise BadInputError(
      store, name, f"the axes {axes}", "c, y and x", "store an image of one plane"
    )
  load = functools.partial(_pixels, array, axes)
  return StoredImage((shape["y"], shape["x"], shape["c"]), load, name)


def _pixels(array: Path, axes: str) -> np.ndarray:
  import zarr  # a second, which no other reader should wait for

  return np.moveaxis(zarr.open_array(array, mode="r")[...], axes.index("c"), -1)


def _files(store: Path) -> Iterator[Path]:
  return itertools.chain([store], store.rglob("*"))


def _json(path: Path) -> Any:
  recognise(path)
  if path.stat().st_size > _MOST_METADATA_BYTES:
    raise BadInputError(path, "size", "too long", "metadata of a store", _DISTRUST)
  try:
    return json.loads(path.read_text(encoding="utf-8"))
  except (ValueError, RecursionError) as error:
    raise BadInputError(path, "JSON", str(error), "metadata of a store", "copy it again") from error


def _attributes(folder: Path) -> dict:
  for name in ("zarr.json", ".zattrs"):
    if (folder / name).is_file():
      content = _json(folder / name)
      return content.get("attributes", {}) if name == "zarr.json" else content
  return {}


def _shape(array: Path) -> tuple[int, ...]:
  name = next((n for n in ("zarr.json", ".zarray") if (array / n).is_file()), None)
  return tuple(_json(array / name).get("shape", ())) if name else ()


def _check_metadata(item: Any, path: Path) -> None:
  """Codecs and sizes, wherever in the metadata they stand: it may hold that of other arrays."""
  if isinstance(item, list):
    for part in item:
      _check_metadata(part, path)
  if not isinstance(item, dict):
    return
  for key, value in item.items():
    if key in _CODEC_KEYS:
      for codec in value if isinstance(value, list) else [value]:
        name = codec.get("id", codec.get("name")) if isinstance(codec, dict) else codec
        if name is not None and str(name).rpartition(".")[2] not in _CODECS:
          raise BadInputError(path, key, repr(name), "codecs of numbers and text", _DISTRUST)
    if key == "shape" and _size(value) > MAX_BYTES:
      found = f"an array of {' x '.join(map(str, value))}"
      raise BadInputError(path, key, found, f"at most {MAX_BYTES:,} values", _DISTRUST)
    _check_metadata(value, path)


def _size(shape: Any) -> int:
  """Values of an array of that shape; 0 where it is none."""
  whole = isinstance(shape, list) and all(isinstance(n, int) for n in shape)
  return math.prod(shape) if whole else 0
