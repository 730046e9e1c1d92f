"""What sections are called: as people call them, and each by a name of its own."""

from __future__ import annotations

import collections
import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from data_pipelines.problems import BadInputError
from data_pipelines.readers.metadata import Metadata, file_name
from data_pipelines.readers.source import SectionSource
from data_pipelines.section import Section

_MOST_FOLDERS = 3


def names_of(
  path: Path, is_generic: Callable[[str], bool] = "".__eq__, name: str | None = None
) -> list[str]:
  """Names for what lies here, shortest first: each with one more folder above it in front.

  A link has its own name, not that of what it leads to.

  Args:
    path: folder or file.
    is_generic: whether a folder's name says nothing.
    name: what it is called; by default, as the folder or file without its ending.
  """
  path = Path(os.path.abspath(path))
  own = [path.stem if path.is_file() else path.name] if name is None else [name]
  told = [one for one in (*own, *(above.name for above in path.parents)) if one]
  told = [one for one in told if not is_generic(one)][:_MOST_FOLDERS] or ["section"]
  return ["_".join(told[n::-1]) for n in range(len(told))]


def source_at(
  path: Path,
  metadata: Metadata,
  *,
  reader: str,
  files: Sequence[Path | None],
  load: Callable[[SectionSource], Section],
  is_generic: Callable[[str], bool] = "".__eq__,
  name: str | None = None,
  checks: tuple[Callable[[], object], ...] = (),
) -> SectionSource:
  """The section that a folder holds, named after it, with its row of the metadata table.

  Args:
    files: that it is read from; None where there is none.
    name: what it is called; by default, as `names_of` says.
  """
  name, *others = names_of(path if name is None else path / name, is_generic, name)
  entry = metadata.entry(name, path, path.parent, also=others)
  section_id = file_name(entry.section)
  return SectionSource(
    section_id=section_id,
    donor_id=entry.donor or section_id,
    reader=reader,
    path=path,
    files=tuple(file for file in files if file is not None),
    entry=entry,
    load=load,
    checks=checks,
    other_names=tuple(others),
  )


def told_apart(sources: Sequence[SectionSource], root: Path) -> dict[str, SectionSource]:
  """The sections by name; those that share a name take the next of their other names.

  What the metadata table calls a section stays.

  Raises:
    BadInputError: two sections share a name and have no other.
  """
  sources, changed = list(sources), True
  while changed:
    times = collections.Counter(one.section_id for one in sources)
    free = [bool(times[s.section_id] > 1 and s.other_names and not s.entry.table) for s in sources]
    sources = [_next_name(s) if may else s for s, may in zip(sources, free, strict=True)]
    changed = any(free)
  named: dict[str, SectionSource] = {}
  for source in sorted(sources, key=lambda one: one.section_id):
    if (same := named.setdefault(source.section_id, source)) is not source:
      raise _shared(root, same, source)
  return named


def _next_name(source: SectionSource) -> SectionSource:
  name, *others = source.other_names
  return dataclasses.replace(source.called(file_name(name)), other_names=tuple(others))


def _shared(root: Path, one: SectionSource, other: SectionSource) -> BadInputError:
  if one.path == other.path:
    return BadInputError(
      one.path,
      "sections",
      f"two that are both called {one.section_id} as files",
      "names that differ by more than signs and spaces",
      "rename one of the two in the file: in names of files, all but letters, digits, . and - is _",
    )
  apart = [file_name(source.other_names[0]) for source in (one, other) if source.other_names]
  return BadInputError(
    root,
    "sections",
    f"{one.section_id} twice ({one.path} and {other.path})",
    "each section once",
    f"call them {' and '.join(apart)} in the metadata table"
    if len(set(apart)) == 2
    else "rename one of the two",
  )
