"""The sections of a corpus: found, named and not read yet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_pipelines import readers
from data_pipelines.preparation.manifest import NAME
from data_pipelines.preparation.options import PrepareOptions
from data_pipelines.problems import BadInputError


def found_in(inputs: Sequence[Path], options: PrepareOptions) -> dict[str, Any]:
  """Name -> source of every section that the options ask for; none of them is read yet.

  Raises:
    BadInputError: a name that is no name of a file, or that two sections have; a section that is
      asked for and not there; a donor whose name a terminal would obey.
  """
  found: dict[str, Any] = {}
  for folder in map(Path, inputs):
    for source in readers.open_sections(folder, options.metadata, options.words):
      name = source.section_id
      if not NAME.fullmatch(name):
        raise BadInputError(
          source.path,
          "section name",
          repr(name),
          "letters, digits, '.', '_' and '-', at most 80",
          "rename the section in the metadata table or its folder",
        )
      if name in found:
        raise BadInputError(
          source.path,
          "section name",
          f"{name}, also in {found[name].path}",
          "each name once",
          "rename one of the two, or give only one of them as --input",
        )
      if not source.donor_id.isprintable():
        raise BadInputError(
          source.path,
          "donor",
          repr(source.donor_id),
          "letters, digits and signs",
          "correct the name in the metadata table",
        )
      found[name] = source
  if options.sections is None:
    return found
  for name in options.sections:
    if name not in found:
      raise BadInputError(
        "--sections",
        "section",
        repr(name),
        f"some of {', '.join(sorted(found)[:20])}",
        "correct the name",
      )
  return {name: source for name, source in found.items() if name in options.sections}
