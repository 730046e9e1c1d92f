"""Whether the files of a folder are still the ones that were written.

The checkpoint library restores arrays with a flipped bit without noticing; hence our own SHA-256.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from data_pipelines import files

NAME = "sha256.json"


def seal(folder: Path) -> None:
  """Writes the size and the SHA-256 of every file in the folder into it, the last thing to happen.

  A folder without this list was never finished.
  """
  content = json.dumps({"files": _digests(folder)}, indent=1)
  own = hashlib.sha256(content.encode()).hexdigest()
  files.write_text(folder / NAME, f"{own}\n{content}\n")


def is_sealed(folder: Path) -> bool:
  """Whether `seal` finished there."""
  return (folder / NAME).is_file()


def damage(folder: Path) -> str:
  """The first difference from what was sealed, in words; empty if there is none."""
  try:
    own, content = (folder / NAME).read_bytes().split(b"\n", 1)
    content = content.removesuffix(b"\n")
    if hashlib.sha256(content).hexdigest().encode() != own:
      return f"{NAME} has changed"
    expected = json.loads(content)["files"]
  except (OSError, ValueError, KeyError) as error:
    return f"{NAME} cannot be read ({error})"
  found = _digests(folder)
  for name in sorted(expected.keys() | found.keys()):
    if name not in found:
      return f"{name} is missing"
    if name not in expected:
      return f"{name} was not there before"
    if found[name] != expected[name]:
      return f"{name} has changed"
  return ""


def _digests(folder: Path) -> dict[str, list]:
  digests = {}
  for path in sorted(path for path in folder.rglob("*") if path.is_file()):
    name = path.relative_to(folder).as_posix()
    if name != NAME:
      with path.open("rb") as file:
        digests[name] = [path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()]
  return digests
