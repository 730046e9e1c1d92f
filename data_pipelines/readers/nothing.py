"""What to say where no section is found: what is there, and what there should be."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from data_pipelines.problems import BadInputError, nearest
from data_pipelines.readers.source import Reader

_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar")
_NOT_READ = {
  "*filtered_feature_cell_matrix.h5": (
    "cells that Space Ranger segmented", "give the output folder that holds binned_outputs",
  ),
  "*feature_slice.h5": (
    "a feature slice of Visium HD", "give the output folder that holds binned_outputs",
  ),
  "*.cloupe": ("a file of Loupe Browser", "give the output folder it was made from"),
  "*.gef": ("a Stereo-seq matrix", "pool it to bins and write them as .h5ad, e.g. by stereopy"),
  "*.gem*": ("a Stereo-seq matrix", "pool it to bins and write them as .h5ad, e.g. by stereopy"),
  "*.[rR][dD][sS]": ("an R object", "write its raw counts and positions as .h5ad or as text"),
}  # fmt: skip
"""Files that are known and not read -> what they are, and what to do."""


def at(path: Path, readers: Collection[Reader]) -> BadInputError:
  """Of a path that is no folder."""
  if path.is_file():
    packed = path.name.endswith(_ARCHIVES)
    endings = [f"a file ending in {reader.suffix}" for reader in readers if reader.suffix]
    return BadInputError(
      path,
      "input",
      "an archive" if packed else "a file",
      either(["a folder of sections", *endings]),
      "unpack it first" if packed else "give the folder it lies in",
    )
  if path.is_symlink():
    return BadInputError(path, "input", "a broken link", "a folder", "correct the link")
  beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
  near = nearest(path.name, beside)
  fix = f"did you mean {path.parent / near}?" if near else "correct the path"
  return BadInputError(path, "input", "no such folder", "a folder of sections", fix)


def in_folder(folder: Path, readers: Collection[Reader]) -> BadInputError:
  """Of a folder in which these readers find nothing."""
  expected = either([reader.holds for reader in readers])
  for pattern, (what, fix) in _NOT_READ.items():
    if file := next(folder.rglob(pattern), None):
      return BadInputError(file, "platform", f"{what}, which is not read", expected, fix)
  there = sorted(path.name for path in folder.iterdir())
  packed = next((name for name in there if name.endswith(_ARCHIVES)), None)
  return BadInputError(
    folder,
    "folder",
    f"only {', '.join(there[:6]) or 'nothing'}",
    expected,
    f"unpack {packed} first" if packed else "give the folder that holds them",
  )


def either(words: Sequence[str]) -> str:
  """Some words, with "or" before the last."""
  return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))
