"""Whether the files of a folder are still the ones that were written.

The checkpoint library restores arrays with a flipped bit without noticing; hence our own SHA-256.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from data_pipelines import files

NAME = "sha256.json"


def seal(folder: Path) -> None:
  """Writes the size and the SHA-256 of every file in the folder into it, the last thing to happen.

  A folder without this list was never finished; one under another name is a copy.
  """
  content = json.dumps({"folder": folder.name, "files": _digests(folder)}, indent=1)
  own = hashlib.sha256(content.encode()).hexdigest()
  files.write_text(folder / NAME, f"{own}\n{content}\n")


def is_sealed(folder: Path) -> bool:
  """Whether `seal` finished there."""
  return (folder / NAME).is_file()


def damage(folder: Path) -> str:
  """The first difference from what was sealed, in words; empty if there is none.

  A hidden file that was not there before, such as a file browser leaves, is none.
  """
  try:
    own, content = (folder / NAME).read_bytes().split(b"\n", 1)
    content = content.removesuffix(b"\n")
    if hashlib.sha256(content).hexdigest().encode() != own:
      return f"{NAME} has changed"
    sealed = json.loads(content)
    expected, name = dict(sealed["files"]), sealed["folder"]
    if name != folder.name:
      return f"it is a copy of {name} under another name"
    found = _digests(folder)
  except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
    return f"it cannot be read ({error})"
  for name in sorted(expected.keys() | found.keys()):
    if name not in found:
      return f"{name} is missing"
    if name not in expected and not name.rpartition("/")[2].startswith("."):
      return f"{name} was not there before"
    if found[name] != expected.get(name, found[name]):
      return f"{name} has changed"
  return ""


@contextlib.contextmanager
def kept(folder: Path) -> Iterator[bool]:
  """While a reader is inside, `remove` leaves the folder alone; False where it is being removed."""
  path = folder / NAME
  try:
    file = path.open("rb")
  except OSError:
    yield False
    return
  with file:
    yield _locked(file.fileno(), fcntl.LOCK_SH) and _is_at(file.fileno(), path)


def remove(folder: Path) -> bool:
  """Deletes a folder, the list first; False if a reader is inside, and it stays."""
  path = folder / NAME
  if path.is_file():
    with path.open("r+b") as file:
      if not _locked(file.fileno(), fcntl.LOCK_EX):
        return False
      path.unlink()  # whoever comes now does not take the rest for a whole one
  shutil.rmtree(folder)
  return True


def _locked(file: int, how: int) -> bool:
  """Whether nobody else holds the file otherwise; on a disk without locks nobody is known to."""
  try:
    fcntl.flock(file, how | fcntl.LOCK_NB)
  except OSError as error:
    return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
  return True


def _is_at(file: int, path: Path) -> bool:
  try:
    return os.path.samestat(os.fstat(file), path.stat())
  except OSError:
    return False


def _digests(folder: Path) -> dict[str, list]:
  digests = {}
  for path in sorted(path for path in folder.rglob("*") if path.is_file()):
    name = path.relative_to(folder).as_posix()
    if name != NAME:
      with path.open("rb") as file:
        digests[name] = [path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()]
  return digests
