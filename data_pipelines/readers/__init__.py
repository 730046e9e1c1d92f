"""From folders as platforms write them to `Section`s; sections are found first and read later.

A platform is one file with a `Reader`, and one line in `READERS`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from data_pipelines.problems import BadInputError, nearest
from data_pipelines.readers import anndata, legacy_st, space_ranger, stimage, visium_hd, xenium
from data_pipelines.readers.metadata import Metadata
from data_pipelines.readers.source import READER_VERSION, Reader, SectionSource
from data_pipelines.section import Section

__all__ = ["READERS", "READER_VERSION", "Reader", "SectionSource", "open_sections", "read_sections"]

READERS: dict[str, Reader] = {
  "visium_hd": visium_hd.READER,
  "visium": space_ranger.READER,
  "stimage": stimage.READER,
  "xenium": xenium.READER,
  "legacy_st": legacy_st.READER,
  "anndata": anndata.READER,
}
"""The platforms; the first that recognises a folder or file reads it."""

_MOST_FOLDERS = 20_000
_DEPTH = 5
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar")
_NOT_READ_YET = {
  "exprmat_file.csv": "a CosMx output",
  "cell_by_gene.csv": "a MERSCOPE output",
}


def open_sections(
  path: str | os.PathLike, metadata: str | os.PathLike | None = None
) -> list[SectionSource]:
  """The sections of a folder, by name; none of them is read yet.

  Args:
    path: one section, or a folder of many at any depth up to five, of every platform in `READERS`:
      Space Ranger output folders, folders of legacy ST with `counts` and `spots`, `.h5ad` files.
    metadata: table with a column `section`; else `metadata.csv` or `metadata.tsv` in `path`.

  Raises:
    BadInputError: no section is found, two have one name, or the table is of other sections.
  """
  root = Path(path).expanduser()
  if root.is_dir():
    root = _above_inner_folder(root)
    table = _metadata(root, metadata)
    sources = list(_within(root, table))
  else:
    table = _metadata(root.parent, metadata)
    sources = _of_file(root, table) if root.is_file() else []
    if not sources:
      raise _no_folder(root)
  if not sources:
    raise _nothing_found(root)
  by_id: dict[str, SectionSource] = {}
  for source in sorted(sources, key=lambda s: s.section_id):
    if source.section_id in by_id:
      raise BadInputError(
        root,
        "sections",
        f"{source.section_id} twice ({by_id[source.section_id].path} and {source.path})",
        "each section once",
        "rename one of the folders",
      )
    by_id[source.section_id] = source
  if table.rows and not any(source.entry.table for source in sources):
    raise BadInputError(
      next(iter(table.rows.values()))[0].table,
      "section",
      f"{', '.join(list(table.rows)[:3])}",
      f"names of sections: {', '.join(list(by_id)[:3])}",
      "write the names as the folders or count files have them",
    )
  return list(by_id.values())


def read_sections(
  path: str | os.PathLike, metadata: str | os.PathLike | None = None
) -> list[Section]:
  """Every section of a folder, as `open_sections` finds them; all of them in memory."""
  return [source.read() for source in open_sections(path, metadata)]


def _metadata(root: Path, path: str | os.PathLike | None) -> Metadata:
  if path is not None:
    return Metadata.read(Path(path).expanduser(), root)
  for name in ("metadata.csv", "metadata.tsv"):
    if (root / name).is_file():
      return Metadata.read(root / name, root)
  return Metadata()


def _within(root: Path, metadata: Metadata) -> Iterator[SectionSource]:
  """The sections of a folder and of those inside it, the folders of sections left out."""
  waiting, seen = [(root, 0)], set()
  while waiting:
    folder, depth = waiting.pop(0)
    real = folder.resolve()
    if real in seen or len(seen) > _MOST_FOLDERS:
      continue
    seen.add(real)
    if sources := _of_folder(folder, metadata):
      yield from sources
      continue
    files, folders = _content(folder)
    for file in files:
      yield from _of_file(file, metadata)
    if depth < _DEPTH:
      waiting += [(child, depth + 1) for child in folders]


def _of_folder(folder: Path, metadata: Metadata) -> Sequence[SectionSource]:
  return next(filter(None, (reader.find(folder, metadata) for reader in READERS.values())), ())


def _of_file(file: Path, metadata: Metadata) -> Sequence[SectionSource]:
  readers = [r for r in READERS.values() if r.suffix and file.name.endswith(r.suffix)]
  return next(filter(None, (reader.find(file, metadata) for reader in readers)), ())


def _content(folder: Path) -> tuple[list[Path], list[Path]]:
  """Files and folders in it that are not hidden."""
  try:
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
  except PermissionError as error:
    raise BadInputError(
      folder, "folder", "not readable", "a readable folder", "check its permissions"
    ) from error
  return [p for p in paths if p.is_file()], [p for p in paths if p.is_dir()]


def _above_inner_folder(root: Path) -> Path:
  """The section's folder, where a folder inside it was given."""
  above = root.resolve().parent
  inner = (r for r in READERS.values() if root.name in r.inner_folders)
  return above if any(reader.find(above, Metadata()) for reader in inner) else root


def _no_folder(root: Path) -> BadInputError:
  if root.is_file():
    packed = root.name.endswith(_ARCHIVES)
    endings = [f"a file ending in {r.suffix}" for r in READERS.values() if r.suffix]
    return BadInputError(
      root,
      "input",
      "an archive" if packed else "a file",
      _or(["a folder of sections", *endings]),
      "unpack it first" if packed else "give the folder it lies in",
    )
  if root.is_symlink():
    return BadInputError(root, "input", "a broken link", "a folder", "correct the link")
  beside = [p.name for p in root.parent.iterdir()] if root.parent.is_dir() else []
  near = nearest(root.name, beside)
  fix = f"did you mean {root.parent / near}?" if near else "correct the path"
  return BadInputError(root, "input", "no such folder", "a folder of sections", fix)


def _nothing_found(root: Path) -> BadInputError:
  expected = _or([reader.holds for reader in READERS.values()])
  for path in root.rglob("*"):
    for ending, platform in _NOT_READ_YET.items():
      if path.name.lower().endswith(ending):
        return BadInputError(
          path.parent,
          "platform",
          platform,
          expected,
          "these cells are not read yet; pool them to spots and write a Space Ranger folder",
        )
  there = sorted(p.name for p in root.iterdir())
  packed = next((name for name in there if name.endswith(_ARCHIVES)), None)
  return BadInputError(
    root,
    "folder",
    f"only {', '.join(there[:6]) or 'nothing'}",
    expected,
    f"unpack {packed} first" if packed else "give the folder that holds them",
  )


def _or(words: Sequence[str]) -> str:
  return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))
