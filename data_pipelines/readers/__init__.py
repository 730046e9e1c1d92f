"""From folders as platforms write them to `Section`s; sections are found first and read later.

A platform is one file with a `Reader`, and one line in `READERS`.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from data_pipelines.console import say
from data_pipelines.files import visible
from data_pipelines.problems import BadInputError, nearest
from data_pipelines.readers import (
  anndata,
  cosmx,
  hest,
  legacy_st,
  legacy_st_files,
  merscope,
  nothing,
  space_ranger,
  space_ranger_aggr,
  spatialdata,
  stimage,
  text_matrix,
  visium_hd,
  xenium,
)
from data_pipelines.readers.metadata import Metadata, Words
from data_pipelines.readers.names import source_at, told_apart
from data_pipelines.readers.source import READER_VERSION, Reader, SectionSource
from data_pipelines.section import Section

__all__ = [
  "READERS", "READER_VERSION", "Reader", "SectionSource", "Words", "open_sections", "read_sections",
]  # fmt: skip

READERS: dict[str, Reader] = {
  "spatialdata": spatialdata.READER,
  "hest": hest.READER,
  "visium_hd": visium_hd.READER,
  "visium_aggr": space_ranger_aggr.READER,
  "legacy_st": legacy_st.READER,
  "text_matrix": text_matrix.READER,
  "visium": space_ranger.READER,
  "stimage": stimage.READER,
  "xenium": xenium.READER,
  "cosmx": cosmx.READER,
  "merscope": merscope.READER,
  "anndata": anndata.READER,
}
"""The platforms; the first that recognises a folder or file reads it."""

PLATFORMS = ("visium", "visium_hd", "legacy_st")
"""Arrays whose pitch is known, which a user may say that an `.h5ad` file is of."""

UNKNOWN = "unknown"
"""The platform of a folder or file that cannot be looked at."""

_OF_MACS = "__MACOSX"
"""Folder that archives of a Mac unpack into: what they hold of files that are elsewhere."""

_MOST_FOLDERS = 20_000
_DEPTH = 5


def open_sections(
  path: str | os.PathLike,
  metadata: str | os.PathLike | None = None,
  words: Words | None = None,
) -> list[SectionSource]:
  """The sections of a folder, by name; none of them is read yet.

  A file that cannot be used is a section too, which says so when it is read: one of many stops no
  others.

  Args:
    path: one section, or a folder of many at any depth up to five, of every platform in `READERS`:
      Space Ranger output folders, folders of legacy ST with `counts` and `spots`, `.h5ad` files.
    metadata: table with a column `section`; else `metadata.csv` or `metadata.tsv` in `path`.
    words: what holds for every section of which the table says nothing else.

  Raises:
    BadInputError: no section is found, two have one name, the table is of other sections, or words
      that do not apply.
  """
  root = Path(path).expanduser()
  if root.is_dir():
    root = _above_inner_folder(root)
    table = _metadata(root, metadata, words)
    _check_platforms(table)
    sources = list(_within(root, table))
  else:
    table = _metadata(root.parent, metadata, words)
    _check_platforms(table)
    sources = _of_file(root, table) if root.is_file() else []
    if not sources:
      raise nothing.at(root, READERS.values())
  if not sources:
    asked = READERS.get(table.words.platform or "")
    raise nothing.in_folder(root, [asked] if asked else READERS.values())
  unusable = [source for source in sources if source.reader == UNKNOWN]
  if len(unusable) == len(sources):
    unusable[0].read()
  by_id = told_apart(sources, root)
  if table.rows and not unusable and not any(source.entry.table for source in sources):
    raise BadInputError(
      next(iter(table.rows.values()))[0].table,
      "section",
      f"{', '.join(list(table.rows)[:3])}",
      f"names of sections: {', '.join(list(by_id)[:3])}",
      "write the names as the folders or count files have them",
    )
  if not unusable:
    _check_rows(table, sources)
  _check_words(table, sources)
  return list(by_id.values())


def read_sections(
  path: str | os.PathLike,
  metadata: str | os.PathLike | None = None,
  words: Words | None = None,
) -> list[Section]:
  """Every section of a folder, as `open_sections` finds them; all of them in memory."""
  return [source.read() for source in open_sections(path, metadata, words)]


def _metadata(root: Path, path: str | os.PathLike | None, words: Words | None) -> Metadata:
  if path is not None:
    return Metadata.read(Path(path).expanduser(), root, words)
  for name in ("metadata.csv", "metadata.tsv"):
    if (root / name).is_file() and not legacy_st_files.is_own_table(root / name):
      return Metadata.read(root / name, root, words)
  return Metadata(words=words or Words())


def _check_rows(table: Metadata, sources: Sequence[SectionSource]) -> None:
  """Rows of no section are said; one that all but names a section was meant for it.

  Raises:
    BadInputError: a row whose name is written otherwise than that of a section without a row.
  """
  used = {source.entry.section for source in sources if source.entry.table}
  used |= {source.path.stem for source in sources}  # what holds for every section of a file
  without = {_bare(s.section_id): s.section_id for s in sources if not s.entry.table}
  unused = [name for name in table.rows if name not in used]
  for name in unused:
    if (meant := without.get(_bare(name))) and _bare(name):
      raise BadInputError(
        table.rows[name][0].table,
        "section",
        f"{name}, which is no section",
        f"names of sections, such as {meant}",
        f"write {meant} for {name}, as the folder or file is called",
      )
  if unused:
    more = ", ..." if len(unused) > 3 else ""
    file = table.rows[unused[0]][0].table.name
    say(f"{file}: {len(unused)} rows are of no section here ({', '.join(unused[:3])}{more})")


def _bare(name: str) -> str:
  """Letters and numbers alone: no case, leading zeros, signs or ending of a file."""
  stem = name.lower().removesuffix(anndata.SUFFIX)
  return "_".join(part.lstrip("0") or "0" for part in re.findall(r"\d+|[^\W\d_]+", stem))


def _check_words(table: Metadata, sources: Sequence[SectionSource]) -> None:
  """Words that would be ignored are a misunderstanding.

  Raises:
    BadInputError: one that does not apply, or an unknown platform.
  """
  said = table.words.given()
  annotated = [name for name, reader in READERS.items() if reader.annotated]
  divided = [name for name, reader in READERS.items() if reader.divides]
  for name, readers in (("layer", annotated), ("library_key", divided)):
    if name in said and not any(source.reader in (*readers, UNKNOWN) for source in sources):
      found = f"given with {sources[0].reader} alone"
      expected = f"with {nothing.either(readers)}"
      raise BadInputError(f"--{name}", "use", found, expected, "leave it out")
  _check_pitch("pitch_um" in said, sources)
  if "image" in said and len(sources) > 1:
    raise BadInputError(
      "--image",
      "use",
      f"one image for {len(sources)} sections ({', '.join(s.section_id for s in sources[:3])})",
      "one section",
      "name the images in the column image of the metadata table",
    )


def _check_pitch(said: bool, sources: Sequence[SectionSource]) -> None:
  """
  Raises:
    BadInputError: a pitch for spots that are not pooled.
  """
  pooled = [name for name, reader in READERS.items() if reader.pools]
  expected = f"with {nothing.either(pooled)}"
  others = [source for source in sources if source.reader not in (*pooled, UNKNOWN)]
  if said and len(others) == len(sources):
    found = f"given with {sources[0].reader} alone"
    raise BadInputError("--pitch_um", "use", found, expected, "leave it out")
  for source in others:
    if not said and source.entry.pitch_um is not None:
      field = f"pitch_um of section {source.entry.section}"
      found = f"given with {source.reader}"
      raise BadInputError(
        source.entry.table or source.path, field, found, expected, "leave it empty"
      )


def _check_platforms(table: Metadata) -> None:
  rows = [row for rows in table.rows.values() for row in rows]
  said = [(row.table, f"platform of section {row.section}", row.platform) for row in rows]
  for file, field, platform in (*said, ("--platform", "value", table.words.platform)):
    if platform is not None and platform not in (*READERS, *PLATFORMS):
      near = nearest(platform, (*READERS, *PLATFORMS))
      raise BadInputError(
        file,
        field,
        repr(platform),
        f"one of {', '.join(dict.fromkeys((*READERS, *PLATFORMS)))}",
        f"write {near}" if near else "correct it, or leave it out",
      )


def _within(root: Path, metadata: Metadata) -> Iterator[SectionSource]:
  """The sections of a folder and of those inside it, the folders of sections left out."""
  waiting: list[tuple[Path, tuple[Path, ...]]] = [(root, ())]
  for number, (folder, above) in enumerate(waiting):  # which grows meanwhile
    real = folder.resolve()
    if real in above or number > _MOST_FOLDERS:
      continue
    if sources := _or_its_problem(_of_folder, folder, metadata):
      yield from sources
      continue
    try:
      files, folders, broken = _content(folder)
    except PermissionError:
      yield from _or_its_problem(_refuse_access, folder, metadata)
      continue
    for file in files:
      yield from _or_its_problem(_of_file, file, metadata)
    for link in broken:
      yield from _or_its_problem(_refuse_link, link, metadata)
    if len(above) < _DEPTH:
      waiting += [(child, (*above, real)) for child in folders]


Find = Callable[[Path, Metadata], Sequence[SectionSource]]


def _or_its_problem(find: Find, path: Path, metadata: Metadata) -> Sequence[SectionSource]:
  """What is found here; where it cannot be looked at, a section that says why when it is read."""
  try:
    return find(path, metadata)
  except (BadInputError, PermissionError) as error:
    problem = error if isinstance(error, BadInputError) else _not_readable(path)
    load = functools.partial(_refused, problem=problem)
    is_generic = space_ranger.is_generic
    return [source_at(path, metadata, reader=UNKNOWN, files=(), load=load, is_generic=is_generic)]


def _not_readable(path: Path) -> BadInputError:
  return BadInputError(
    path, "folder", "not readable", "a readable folder or file", "check its permissions"
  )


def _refused(source: SectionSource, problem: BadInputError) -> Section:
  raise problem


def _of_folder(folder: Path, metadata: Metadata) -> Sequence[SectionSource]:
  return _first(READERS, folder, metadata)


def _of_file(file: Path, metadata: Metadata) -> Sequence[SectionSource]:
  name = file.name.removesuffix(".gz")
  readers = {n: r for n, r in READERS.items() if r.suffix and name.endswith(r.suffix)}
  if readers and name != file.name:
    raise BadInputError(file, "file", "a gzipped file", f"{name} as it is", f"gunzip {file.name}")
  return _first(readers, file, metadata)


def _first(readers: Mapping[str, Reader], path: Path, metadata: Metadata) -> list[SectionSource]:
  """What the first reader finds that recognises it and is of the platform that is asked for."""
  for name, reader in readers.items():
    found = [
      source
      for source in reader.find(path, metadata)
      if source.entry.platform in (None, name, source.reader) or reader.suffix
    ]
    if found:
      return found
  return []


def _refuse_access(folder: Path, _: Metadata) -> Sequence[SectionSource]:
  raise _not_readable(folder)


def _refuse_link(link: Path, _: Metadata) -> Sequence[SectionSource]:
  found = f"a broken link (to {os.readlink(link)})"
  raise BadInputError(link, "link", found, "a file or folder", "correct the link, or remove it")


def _content(folder: Path) -> tuple[list[Path], list[Path], list[Path]]:
  """Files, folders and broken links in it that may be sections; none that is hidden.

  Raises:
    PermissionError: the folder must not be read.
  """
  paths = visible(folder)
  endings = {"", *(reader.suffix for reader in READERS.values())}
  broken = [p for p in paths if p.is_symlink() and not p.exists() and p.suffix in endings]
  return (
    [p for p in paths if p.is_file()],
    [p for p in paths if p.is_dir() and p.name != _OF_MACS],
    broken,
  )


def _above_inner_folder(root: Path) -> Path:
  """The section's folder, where a folder inside it was given."""
  above = Path(os.path.abspath(root)).parent
  inner = (r for r in READERS.values() if root.name in r.inner_folders)
  return above if any(reader.find(above, Metadata()) for reader in inner) else root
