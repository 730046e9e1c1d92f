"""Several evaluations of the same corpus as one: mean and spread over runs that differ in the seed.

The result is rows again, so that it is shown by what shows a single run.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from data_pipelines.problems import BadInputError
from hibio.evaluation.rows import Row

Key = tuple[str, str, str, str, str, str]
"""Task, dataset, protocol, split, metric, method."""


@dataclasses.dataclass(frozen=True)
class Results:
  """One `results.json`.

  Attributes:
    fingerprint: of the corpus that was scored on.
    step: of the checkpoint; None where the file does not say.
  """

  path: Path
  corpus: str
  fingerprint: str
  step: int | None
  rows: Mapping[Key, Row]


def read(path: Path) -> Results:
  """A file that `experiments.evaluate` wrote.

  Raises:
    BadInputError: no such file, or another kind of file.
  """
  try:
    content = json.loads(path.read_text())
    rows = [Row(**row) for row in content["rows"]]
    checkpoint = content.get("checkpoint") or {}
    corpus = content["corpus"]
    return Results(
      path,
      corpus["name"],
      corpus["fingerprint"],
      checkpoint.get("step"),
      {_key(row): row for row in rows},
    )
  except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
    raise BadInputError(
      path,
      "content",
      f"no results ({type(error).__name__}: {error})",
      "a results.json of experiments.evaluate",
      "run experiments.evaluate with --output, and name the results.json in that folder",
    ) from error


def summarised(runs: Sequence[Results]) -> list[Row]:
  """One row a figure: the mean over runs, their sample standard deviation, and each run as a part.

  A figure that some runs have no value for is the mean of the others, and its note says so.

  Raises:
    BadInputError: fewer than two runs, one of them twice, or runs of different corpora, steps or
      protocols.
  """
  _check(runs)
  return [_mean([run.rows[key] for run in runs]) for key in runs[0].rows]


def _mean(rows: Sequence[Row]) -> Row:
  values = {f"run {place}": row.value for place, row in enumerate(rows, start=1)}
  parts = {n: v for n, v in values.items() if v is not None and math.isfinite(v)}
  notes = list(dict.fromkeys(row.note for row in rows if row.note))
  if len(parts) < len(rows):
    notes.append(f"{len(parts)} of {len(rows)} runs have a value")
  chances = [row.chance for row in rows if row.chance is not None]
  found = np.array(list(parts.values()))
  return dataclasses.replace(
    rows[0],
    value=float(found.mean()) if len(found) else None,
    n=min(row.n for row in rows),
    chance=float(np.mean(chances)) if chances else None,
    note="; ".join(notes) if len(notes) <= 2 else f"notes differ, see each run: {notes[0]}",
    spread=float(found.std(ddof=1)) if len(found) > 1 else None,
    parts=parts,
  )


def _check(runs: Sequence[Results]) -> None:
  if len(runs) < 2:
    raise BadInputError(
      "--results", "files", str(len(runs)), "at least two runs", "give A.json,B.json"
    )
  first = runs[0]
  for place, other in enumerate(runs[1:], start=1):
    for field in ("fingerprint", "step"):
      if getattr(other, field) != getattr(first, field):
        raise BadInputError(
          other.path,
          {"fingerprint": "corpus", "step": "checkpoint step"}[field],
          str(getattr(other, field)),
          f"{getattr(first, field)}, as in {first.path}",
          "summarise only runs that differ in the seed",
        )
    if odd := first.rows.keys() ^ other.rows.keys():
      task, _, protocol, _, metric, method = sorted(odd)[0]
      where = "only there" if sorted(odd)[0] in other.rows else f"only in {first.path}"
      raise BadInputError(
        other.path,
        "rows",
        f"{len(odd)} that one run alone has, e.g. {task}, {protocol}, {metric}, {method} ({where})",
        f"the protocols and methods of {first.path}",
        "evaluate every run with the same version and flags",
      )
    for earlier in runs[:place]:
      if earlier.rows == other.rows:
        raise BadInputError(
          other.path,
          "rows",
          f"the same figures as {earlier.path}",
          "another run",
          "name each run once, and train the runs with different seeds",
        )


def _key(row: Row) -> Key:
  return row.task, row.dataset, row.protocol, row.split, row.metric, row.method
