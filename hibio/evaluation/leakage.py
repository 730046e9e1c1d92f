"""Has the model seen what it is scored on? Checked by donor, by content, and by a lab's own list.

Sections of a donor stay together: one section that was trained on gives its whole donor away, under
whatever name it comes back.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_pipelines.loading import splitting
from data_pipelines.problems import BadInputError
from data_pipelines.text_files import read_table

NOT_BY_CONTENT = (
  "the checkpoint names its donors only: a copy of a training section under another name"
  " would not be noticed"
)


@dataclasses.dataclass(frozen=True)
class Excluded:
  """A donor of a study that must not be scored, as a line of a lab's exclusion list.

  Attributes:
    study: name of the corpus that holds it.
    donor: its name there.
    version: of the data set that the name belongs to; names have been corrected between versions.
  """

  study: str
  donor: str
  version: str = ""


def leaks(
  meta: Mapping[str, Any], manifest: Mapping[str, Any], donors: Collection[str]
) -> list[str]:
  """Why scoring these donors would score what the checkpoint was trained on; empty if nothing.

  A donor leaks if a training donor has its name, if sections of it were trained on, or if one of
  its sections holds the counts of a training section, whatever both are called. The counts are
  compared as a whole, as they were read: a copy from which spots or genes were removed is not
  recognised.

  Args:
    meta: of the checkpoint; one that lists no sections is compared by donor names alone.
    manifest: of the corpus that is scored.
    donors: of that corpus, those that are scored.
  """
  return _seen(meta, manifest, donors, "train", "trained on")


def notes(
  meta: Mapping[str, Any], manifest: Mapping[str, Any], donors: Collection[str]
) -> list[str]:
  """What is no leak but worth saying: donors that were watched, sections of patients that were
  trained on, and what could not be checked."""
  found = _seen(
    meta, manifest, donors, "validation", "watched in training (nothing is selected on it)"
  )
  if splitting.is_by_section(manifest):
    known = _patients(meta, "train")
    found += [
      f"section {section['section_id']}: other sections of patient {section['patient']} were"
      " trained on"
      for section in manifest["sections"]
      if section["donor_id"] in donors and section["patient"] in known
    ]
  return found + ([] if "sections" in meta["corpus"] else [NOT_BY_CONTENT])


def excluded(listed: Iterable[Excluded], study: str, donors: Collection[str]) -> list[str]:
  """Why a lab's exclusion list forbids scoring these donors of a study; empty if it does not.

  Names are compared without regard to case.

  Args:
    study: name of the corpus; of a folder "corpus" and the one around it, either is a study's.
  """
  names = study.casefold().split("/")
  wanted = {donor.casefold(): donor for donor in donors}
  return [
    f"donor {wanted[one.donor.casefold()]} of {study} is on the exclusion list"
    + (f" (version {one.version})" if one.version else "")
    for one in listed
    if one.study.casefold() in names and one.donor.casefold() in wanted
  ]


def refused(reasons: Sequence[str], where: str | os.PathLike, allow_leak: bool) -> str:
  """The banner that every table of the result has to carry; "" where nothing leaks.

  Raises:
    BadInputError: something leaks and that is not allowed.
  """
  if not reasons:
    return ""
  if not allow_leak:
    raise BadInputError(
      where,
      "held-out donors",
      "; ".join(reasons),
      "donors that are not among the checkpoint's training donors",
      "score other donors (prepare with other --test_donors), rename a donor that only shares a"
      " name, or pass --allow_leak, which marks every result",
    )
  return "LEAK: " + "; ".join(reasons)


def _seen(
  meta: Mapping[str, Any],
  manifest: Mapping[str, Any],
  donors: Collection[str],
  split: str,
  what: str,
) -> list[str]:
  """How each donor is one of the checkpoint's donors of a split, by name or by content."""
  names = set(meta["corpus"]["splits"][split])
  if not splitting.is_by_section(manifest):
    names |= _patients(meta, split)
  known = {
    section["content"]: section
    for section in meta["corpus"].get("sections", ())
    if section["split"] == split and section["content"]
  }
  reasons = []
  for donor in dict.fromkeys(donors):
    copies = [
      (section["section_id"], known[section["content"]])
      for section in manifest["sections"]
      if section["donor_id"] == donor and section.get("content") in known
    ]
    if donor in names:
      reasons.append(f"donor {donor} was {what}: the checkpoint has a donor of that name")
    elif copies:
      section, other = copies[0]
      more = f" and {len(copies) - 1} more" if len(copies) > 1 else ""
      reasons.append(
        f"donor {donor} was {what}: section {section} holds the counts of section"
        f" {other['section_id']} of donor {other['donor_id']}{more}"
      )
  return reasons


def _patients(meta: Mapping[str, Any], split: str) -> set[str]:
  """Whose sections the checkpoint has in a split, also where they were held out one by one."""
  sections = meta["corpus"].get("sections", ())
  return {splitting.patient_of(section) for section in sections if section["split"] == split}


COLUMNS = ("study", "donor", "version")


def read(path: str | os.PathLike) -> list[Excluded]:
  """The lines of a table with the columns study (name of a corpus), donor and version.

  `version`, of the data set that the donor's name belongs to, may be empty.

  Raises:
    BadInputError: not a table, a column is missing, or a line without a study or a donor.
  """
  path = Path(path)
  table = read_table(path)
  if missing := [name for name in COLUMNS if name not in table]:
    raise BadInputError(
      path,
      f"column {missing[0]}",
      f"only {', '.join(table.columns)}",
      ", ".join(COLUMNS),
      "add the column; version may be empty",
    )
  listed = []
  for line, row in enumerate(table[list(COLUMNS)].itertuples(index=False), 2):
    study, donor, version = (cell.strip() for cell in row)
    if not study or not donor:
      raise BadInputError(
        path,
        f"line {line}",
        f"study {study!r}, donor {donor!r}",
        "the name of a corpus and of a donor in it",
        "fill in both, or remove the line",
      )
    listed.append(Excluded(study, donor, version))
  return listed
