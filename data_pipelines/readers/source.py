"""What a platform's reader is, and a section that it has found but not read yet."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from data_pipelines.problems import BadInputError
from data_pipelines.readers import images
from data_pipelines.readers.metadata import Entry, Metadata
from data_pipelines.section import Section

READER_VERSION = 4
"""Raised when readers give other numbers for the same files, so that corpora are prepared again."""


@dataclasses.dataclass(frozen=True)
class Reader:
  """How the sections of one platform are found; `data_pipelines.readers.READERS` lists them.

  Attributes:
    find: the sections of a folder, or of a file with `suffix`; none where it is of another
      platform. It looks at names alone and reads no counts.
    holds: what a user's folder must hold, for the message that nothing was found in it.
    inner_folders: names of folders inside a section; who gives one of them means the section.
    pools: whether it pools to squares of `pitch_um`.
    annotated: whether it reads AnnData, whose matrices have names (`layer`).
    divides: whether a column of its tables may tell sections apart (`library_key`).
    suffix: ending of files that hold sections by themselves; empty where there are none.
  """

  find: Callable[[Path, Metadata], Sequence[SectionSource]]
  holds: str
  inner_folders: tuple[str, ...] = ()
  pools: bool = False
  annotated: bool = False
  divides: bool = False
  suffix: str = ""


@dataclasses.dataclass(frozen=True)
class SectionSource:
  """Where a section lies and how it is read.

  Attributes:
    section_id: unique name of the section; safe as a file name.
    donor_id: the person or animal it came from.
    reader: the platform's name, e.g. "visium"; it becomes the section's `platform`.
    path: folder or file it was found in.
    files: files it is read from.
    entry: its row of the metadata table.
    load: reads it.
    checks: look at one of its files each; what they raise is a problem of that file alone.
    other_names: what to call it where another section has its name, best first.
  """

  section_id: str
  donor_id: str
  reader: str
  path: Path
  files: tuple[Path, ...]
  entry: Entry
  load: Callable[[SectionSource], Section]
  checks: tuple[Callable[[], object], ...] = ()
  other_names: tuple[str, ...] = ()

  def __getstate__(self):
    """What another process needs to read it: all but the checks."""
    return {**self.__dict__, "checks": ()}

  @property
  def donor_notes(self) -> tuple[str, ...]:
    """What is to be said where the metadata table names no donor."""
    return () if self.entry.donor else ("no donor given: the section counts as its own donor",)

  def called(self, name: str) -> SectionSource:
    """The same section under another name; one that counts as its own donor still does."""
    donor = name if self.donor_id == self.section_id else self.donor_id
    return dataclasses.replace(self, section_id=name, donor_id=donor)

  def read(self) -> Section:
    """The section.

    Raises:
      BadInputError: something in its files cannot be used.
    """
    section = self.load(self)
    wanted = not self.entry.is_without_image
    beside = ()
    if not self.path.is_file():
      beside = images.unused(self.path, self.section_id, section.image, wanted=wanted)
    unused = (*section.unused_images, *beside)
    notes = section.notes
    if unused and section.image is None and wanted:
      notes = (*notes, f"no image is used, though there are some: {'; '.join(unused[:4])}")
    return dataclasses.replace(section, unused_images=unused, notes=notes)

  def problems(self) -> tuple[BadInputError, ...]:
    """Everything that keeps the section from being read, found without reading it as a whole."""
    found: dict[str, BadInputError] = {}
    columns = (lambda: self.entry.path_of("image"), lambda: self.entry.path_of("labels"))
    for check in (*self.checks, *columns):
      try:
        check()
      except BadInputError as problem:
        found[str(problem)] = problem
    return tuple(found.values())

  def fingerprint(self) -> str:
    """Changes when a file's size or time, the metadata or the reader changes; reads no content."""
    entry = dataclasses.replace(self.entry, table=None, folders=())
    parts = [f"reader {READER_VERSION}", self.section_id, self.donor_id, repr(entry)]
    for column in ("image", "labels"):
      if (named := self.entry.path_of(column)) is not None:
        parts.append(_stamp(named))
    parts += [_stamp(file) for file in sorted(self.files)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _stamp(file: Path) -> str:
  if not file.exists():  # a broken link: reading says so
    return f"{file.name} missing"
  status = os.stat(file)
  return f"{file.name} {status.st_size} {status.st_mtime_ns}"
