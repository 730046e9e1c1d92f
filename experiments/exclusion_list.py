"""A lab's own list of donors that must not be scored: a table beside its benchmarks."""

from __future__ import annotations

import os
from pathlib import Path

from data_pipelines.problems import BadInputError
from data_pipelines.text_files import read_table
from hibio.leakage import Excluded

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
