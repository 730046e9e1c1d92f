"""Files of weights as arrays, without running anything that they contain.

Read are safetensors, and what `torch.save` writes of tensors in (nested) dicts, in its zip form and
in its older one. Both are pickles, which may ask for any function to be called: the few names that
tensors need are known here, and every other one is refused.
"""

from __future__ import annotations

import collections
import dataclasses
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np
from jaxtyping import Shaped

from data_pipelines.problems import BadInputError

_SAFETENSORS = {
  "F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16,
  "I64": np.int64, "I32": np.int32, "I16": np.int16, "I8": np.int8, "U8": np.uint8,
  "BOOL": np.bool_,
}  # fmt: skip
_STORAGES = {
  "DoubleStorage": np.float64, "FloatStorage": np.float32, "HalfStorage": np.float16,
  "BFloat16Storage": ml_dtypes.bfloat16, "LongStorage": np.int64, "IntStorage": np.int32,
  "ShortStorage": np.int16, "CharStorage": np.int8, "ByteStorage": np.uint8,
  "BoolStorage": np.bool_,
}  # fmt: skip
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


def read(path: str | os.PathLike) -> dict[str, Shaped[np.ndarray, "..."]]:
  """Tensors by name, as they are stored; names of nested dicts are joined by dots.

  Raises:
    BadInputError: there is no such file, it is damaged, or holds more than tensors.
  """
  path = Path(path).expanduser()
  if not path.is_file():
    raise BadInputError(path, "file", "nothing there", "a file of weights", "correct the path")
  try:
    with path.open("rb") as file:
      start = file.read(9)
      file.seek(0)
      if zipfile.is_zipfile(path):
        return _zip(path)
      return _safetensors(path) if start[8:] == b"{" else _legacy(file)
  except BadInputError:
    raise
  except _UnknownNameError as error:
    raise BadInputError(
      path, "content", f"a pickle that names {error}", "tensors alone",
      "save its state_dict, or convert it to safetensors",
    ) from error  # fmt: skip
  except Exception as error:  # a damaged pickle may raise anything
    raise BadInputError(
      path, "content", f"what cannot be read ({type(error).__name__}: {error})",
      "safetensors, or a file of torch.save", "get the file anew",
    ) from error  # fmt: skip


def _safetensors(path: Path) -> dict[str, np.ndarray]:
  data = np.memmap(path, np.uint8, "r")
  begin = 8 + int.from_bytes(data[:8].tobytes(), "little")
  header = json.loads(data[8:begin].tobytes())
  tensors = {}
  for name, of in header.items():
    if name != "__metadata__":
      first, last = of["data_offsets"]
      values = data[begin + first : begin + last].view(_SAFETENSORS[of["dtype"]])
      tensors[name] = values.reshape(of["shape"])
  return tensors


@dataclasses.dataclass(frozen=True)
class _Tensor:
  """Where a tensor lies in its storage; legacy files have the storages behind the tensors."""

  storage: tuple[str, type]
  offset: int
  size: tuple[int, ...]
  stride: tuple[int, ...]

  def of(self, stored: np.ndarray) -> np.ndarray:
    last = self.offset + sum((n - 1) * s for n, s in zip(self.size, self.stride, strict=True))
    if 0 in self.size:
      return np.zeros(self.size, stored.dtype)
    if min(self.offset, *self.size, *self.stride, 0) < 0 or last >= len(stored):
      raise ValueError("a tensor that reaches out of its storage")
    strides = [step * stored.itemsize for step in self.stride]
    view = np.lib.stride_tricks.as_strided(stored[self.offset :], self.size, strides)
    return np.ascontiguousarray(view).reshape(self.size)


class _UnknownNameError(Exception):
  """A name that no tensor needs."""


class _Unpickler(pickle.Unpickler):
  def find_class(self, module: str, name: str) -> Any:
    known = {
      ("collections", "OrderedDict"): collections.OrderedDict,
      ("torch._utils", "_rebuild_tensor_v2"): _tensor,
      ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
    }
    if module == "torch" and name in _STORAGES:
      return _STORAGES[name]
    if (module, name) not in known:
      raise _UnknownNameError(f"{module}.{name}")
    return known[module, name]

  def persistent_load(self, saved: tuple) -> tuple[str, type]:
    kind, dtype, key = saved[:3]
    if kind != "storage" or (len(saved) > 5 and saved[5] is not None):
      raise ValueError("a storage of an unknown form")
    return str(key), dtype


def _tensor(storage, offset, size, stride, *_) -> _Tensor:
  return _Tensor(storage, int(offset), tuple(size), tuple(stride))


def _zip(path: Path) -> dict[str, np.ndarray]:
  with zipfile.ZipFile(path) as archive:
    (pickled,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
    root = pickled.removesuffix("data.pkl")
    told = f"{root}byteorder"  # older files do not say
    order = ">" if told in archive.namelist() and archive.read(told) == b"big" else "<"
    content = _Unpickler(io.BytesIO(archive.read(pickled))).load()

    def stored(key: str, dtype: type) -> np.ndarray:
      return np.frombuffer(archive.read(f"{root}data/{key}"), np.dtype(dtype).newbyteorder(order))

    return _resolved(content, stored)


def _legacy(file: BinaryIO) -> dict[str, np.ndarray]:
  if _Unpickler(file).load() != _LEGACY_MAGIC:
    raise ValueError("neither safetensors nor torch")
  _, system = _Unpickler(file).load(), _Unpickler(file).load()
  order = "<" if system["little_endian"] else ">"
  content = _Unpickler(file).load()
  keys = _Unpickler(file).load()
  dtypes = {key: dtype for key, dtype in (t.storage for t in _flat(content).values())}
  storages = {}
  for key in keys:
    dtype = np.dtype(dtypes[key]).newbyteorder(order)
    count = int.from_bytes(file.read(8), "little" if order == "<" else "big")
    storages[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype)
  return _resolved(content, lambda key, _: storages[key])


def _resolved(content: Any, stored: Callable[[str, type], np.ndarray]) -> dict[str, np.ndarray]:
  tensors = {name: tensor.of(stored(*tensor.storage)) for name, tensor in _flat(content).items()}
  if not tensors:
    raise ValueError("no tensor in it")
  return {name: of.astype(of.dtype.newbyteorder("="), copy=False) for name, of in tensors.items()}


def _flat(content: Any, prefix: str = "") -> dict[str, _Tensor]:
  """The tensors of nested dicts; what else such dicts hold (an epoch, a rate) is passed over."""
  if isinstance(content, _Tensor):
    return {prefix.removesuffix("."): content}
  if not isinstance(content, Mapping):
    return {}
  nested = (_flat(value, f"{prefix}{key}.") for key, value in content.items())
  return {name: tensor for part in nested for name, tensor in part.items()}
