"""Files that appear complete or not at all, their digests, and the versions of what wrote them."""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import functools
import hashlib
import importlib.metadata
import json
import os
import shutil
import stat
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.problems import BadInputError

PACKAGES = (
  "hibio-st", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "array-record",
  "tensorflow-datasets", "numpy", "scipy", "scikit-learn", "pandas", "anndata", "h5py",
  "simplejpeg", "matplotlib",
)  # fmt: skip
"""Those whose version can change a result."""

SEAL = "sha256"
"""Key of the digest in what `sealed` writes."""

_MAX_EXPANSION = 500
"""Unpacked bytes a byte of an .npz file; membership of gene sets, nearly all False, is below."""
_SMALL_BYTES = 256 << 20  # below this, expansion does no harm

_PIECES, _PIECE = 32, 1 << 15
"""How many pieces of a file a sampled digest is of, and their bytes."""

_unfinished: set[Path] = set()


@contextlib.contextmanager
def appearing(path: Path) -> Iterator[Path]:
  """A name beside `path` to write under; at the end the file takes its place in one step.

  Folders are made as needed. If anything fails, `path` stays as it was.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
  _unfinished.add(partial)
  try:
    yield partial
    with partial.open("rb") as file:
      os.fsync(file.fileno())
    os.replace(partial, path)
  finally:
    partial.unlink(missing_ok=True)
    _unfinished.discard(partial)


def clear_unfinished() -> None:
  """Removes what is half written, for a process that is about to end without unwinding."""
  for partial in tuple(_unfinished):
    with contextlib.suppress(OSError):
      partial.unlink(missing_ok=True)


def require_room(output: Path, num_bytes: int, flag: str) -> None:
  """Refuses to begin what will not fit, or must not be written.

  Args:
    output: file that will be written; neither it nor its folder need be there yet.
    flag: that names it.

  Raises:
    BadInputError: no folder can be there, it is not ours to write to, or has too little room: says
      how many bytes are needed, and how many there are. A disk that does not tell has enough.
  """
  there = next(path for path in output.absolute().parents if path.exists())
  if not (there.is_dir() and os.access(there, os.W_OK)):
    raise BadInputError(
      there, flag, "no right to write there" if there.is_dir() else "a file",
      "a folder that can be written to", f"give another {flag}",
    )  # fmt: skip
  try:
    free = shutil.disk_usage(there).free
  except OSError:
    return
  if free < num_bytes:
    raise BadInputError(
      output, "disk", f"{free:,} bytes free", f"{num_bytes:,} bytes",
      f"free some space there, or give another {flag}",
    )  # fmt: skip


@contextlib.contextmanager
def appearing_in(folder: Path) -> Iterator[Path]:
  """A folder to write several files in; at the end each takes its place in `folder`.

  If anything fails before, `folder` stays as it was.
  """
  partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
  try:
    partial.mkdir(parents=True)
    yield partial
    for path in sorted(path for path in partial.rglob("*") if path.is_file()):
      place = folder / path.relative_to(partial)
      place.parent.mkdir(parents=True, exist_ok=True)
      os.replace(path, place)
  finally:
    shutil.rmtree(partial, ignore_errors=True)


def visible(folder: Path, pattern: str = "*") -> list[Path]:
  """What lies in a folder, by name: nothing hidden, as a Mac leaves `._NAME` beside every file.

  Raises:
    PermissionError: the folder must not be read.
  """
  there = folder.iterdir() if folder.is_dir() else ()
  names = (path for path in there if not path.name.startswith("."))
  return sorted(path for path in names if fnmatch.fnmatchcase(path.name, pattern))


def write_text(path: Path, text: str) -> None:
  """Puts a text in place, in UTF-8: a reader sees all of it or what was there before."""
  write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
  """Puts bytes in place, as `write_text` does."""
  with appearing(path) as partial:
    partial.write_bytes(content)


def sha256(path: Path) -> str:
  """Digest of a file, in hexadecimal digits."""
  with path.open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()


def is_intact(path: Path, digest: str) -> bool:
  """Whether a file has this SHA-256."""
  return known_sha256(path) == digest


def known_sha256(path: Path) -> str:
  """`sha256` of a file, which is read once a process as long as nobody touches it."""
  status = path.stat()
  if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
    raise OSError(errno.EINVAL, "no file", str(path))
  stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
  return _known_sha256(path.absolute(), stamp)


@functools.lru_cache(maxsize=100_000)
def _known_sha256(path: Path, stamp: tuple[int, ...]) -> str:
  return sha256(path)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
  """The arrays of an .npz file, by name; no pickle is opened.

  Raises:
    FileNotFoundError: no such file.
    ValueError: it is damaged, or would be far larger in memory than it is on the disk.
  """
  try:
    with zipfile.ZipFile(path) as inside:
      declared = sum(one.file_size for one in inside.infolist())
    if declared > max(_SMALL_BYTES, _MAX_EXPANSION * path.stat().st_size):
      raise ValueError(f"{declared:,} bytes when unpacked")
    with np.load(path) as arrays:
      return {name: arrays[name] for name in arrays.files}
  except FileNotFoundError:
    raise
  except Exception as error:  # zip files, zlib and NumPy have a dozen kinds of them
    raise ValueError(str(error) or type(error).__name__) from error


def sealed(content: Mapping[str, Any]) -> bytes:
  """A JSON object whose last key is the SHA-256 of the others: no bit of it can change unseen."""
  return _json({**content, SEAL: hashlib.sha256(_json(content)).hexdigest()})


def unsealed(raw: bytes) -> dict[str, Any]:
  """The object that `sealed` wrote.

  Raises:
    ValueError: a byte is not as it was written, or it was written by something else.
  """
  try:
    content = json.loads(raw)
    seal = content.pop(SEAL)
    whole = sealed(content) == raw
  except (AttributeError, KeyError, RecursionError, TypeError) as error:
    raise ValueError("not sealed") from error
  if not whole:
    raise ValueError(f"changed since it was written (its seal says {str(seal)[:16]})")
  return content


def _json(content: Mapping[str, Any]) -> bytes:
  return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()


def unlike(value: Any, example: Any, at: str = "") -> str:
  """The first place at which JSON is of another kind than an example of it; empty if there is none.

  Args:
    example: keys that must be there; of a list, what each of its entries is like; a whole number
      that none may be below; of other values the type alone counts.
    at: name of the place.
  """
  if isinstance(example, dict) and isinstance(value, dict):
    parts = ((value.get(key), inner, f"{at}.{key}") for key, inner in example.items())
  elif isinstance(example, list) and isinstance(value, list):
    parts = ((one, example[0], f"{at}.{number}") for number, one in enumerate(value))
  elif type(example) is int:
    return "" if type(value) is int and example <= value < 1 << 31 else at
  else:
    return "" if type(value) is type(example) and not isinstance(value, (dict, list)) else at
  return next(filter(None, (unlike(*part) for part in parts)), "")


def json_lines(path: Path) -> Iterator[dict[str, Any]]:
  """The objects of a file that holds one a line; a torn line is left out. No file holds none."""
  for text in path.read_text(errors="replace").splitlines() if path.is_file() else []:
    try:
      line = json.loads(text)
    except (ValueError, RecursionError):
      continue
    if isinstance(line, dict):
      yield line


def sampled_sha256(path: Path) -> str:
  """Digest of a file's length and of pieces all over it: of gigabytes, in milliseconds.

  What writes an image anew moves all that lies behind the first change, so that it is noticed.
  """
  size = path.stat().st_size
  digest = hashlib.sha256(str(size).encode())
  with path.open("rb") as file:
    for number in range(_PIECES):
      file.seek(max(size - _PIECE, 0) * number // (_PIECES - 1))
      digest.update(file.read(_PIECE))
  return digest.hexdigest()


def versions() -> dict[str, str]:
  """Package -> version, of those of `PACKAGES` that are installed."""
  found = {}
  for name in PACKAGES:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
      found[name] = importlib.metadata.version(name)
  return found
