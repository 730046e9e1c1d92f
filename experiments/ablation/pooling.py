"""Answers of runs that held out different tissue -> one answer, as if one run had given it."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from hibio.evaluation.rows import Row
from hibio.evaluation.scope import SAME_PATIENT

_Key = tuple[str, str, str, str, int]


def pooled(by_fold: Mapping[str, Sequence[Row]]) -> list[Row]:
  """One row for each question, over all folds that answered it.

  Parts of all folds stand side by side; of rows without parts the folds become the parts. A row
  that is the mean of its parts stays so, and its chance is the mean of theirs, weighted by their
  parts; of any other row value and chance are means over the folds, weighted by `n`, which is
  summed.
  """
  rows: dict[_Key, dict[str, Row]] = {}
  for fold, answers in by_fold.items():
    for key, row in _keyed(answers):
      rows.setdefault(key, {})[fold] = row
  return [_one(found, list(by_fold)) for found in rows.values()]


def with_every_fold(
  answers: Mapping[str, Mapping[int, Mapping[str, Sequence[Row]]]],
  folds: Mapping[tuple[str, int], Collection[str]],
) -> tuple[dict[str, dict[int, Mapping[str, Sequence[Row]]]], dict[str, str]]:
  """The seeds of which every fold was answered, and why others are left out.

  The mean over fewer folds would be one over other tissue than the rest of the table.

  Args:
    answers: preset -> seed -> fold -> rows.
    folds: (preset, seed) -> the folds that were asked.
  """
  kept: dict[str, dict[int, Mapping[str, Sequence[Row]]]] = {}
  left_out = {}
  for preset, by_seed in answers.items():
    for seed, by_fold in by_seed.items():
      if missing := set(folds[preset, seed]) - set(by_fold):
        left_out[f"{preset} seed {seed}"] = left_out_of(missing)
      else:
        kept.setdefault(preset, {})[seed] = by_fold
  return kept, left_out


def left_out_of(missing: Collection[str]) -> str:
  """Why something is in no mean, in words."""
  return f"left out of every mean, as without {', '.join(sorted(missing))} it has no figures"


def _keyed(rows: Sequence[Row]) -> Iterator[tuple[_Key, Row]]:
  """Rows with what makes them the same question in another fold: protocols also count things."""
  seen: Counter = Counter()
  for row in rows:
    key = (row.task, re.sub(r"\d+( to \d+)?", "#", row.protocol), row.metric, row.method)
    yield (*key, seen[key]), row
    seen[key] += 1


def _one(found: Mapping[str, Row], folds: Sequence[str]) -> Row:
  answered = {fold: row for fold, row in found.items() if row.value is not None}
  first = next(iter(found.values()))
  if not answered:
    return first
  if all(map(_defined, answered.values())):
    parts = _side_by_side(answered)
  else:
    parts = {fold: float(row.value) for fold, row in answered.items()}
  if all(map(_is_mean_of_parts, answered.values())):
    weights = [len(_defined(row)) for row in answered.values()]
  else:
    weights = [max(row.n, 1) for row in answered.values()]
  values = [row.value for row in answered.values()]
  spread = [part for part in parts.values() if part is not None and np.isfinite(part)]
  chances = [row.chance for row in answered.values()]
  same = SAME_PATIENT if any(SAME_PATIENT in row.split for row in answered.values()) else ""
  return dataclasses.replace(
    first,
    split=f"held out in turn: {', '.join(folds)}{same}",
    value=float(np.average(values, weights=weights)),
    n=sum(row.n for row in answered.values()),
    chance=None if None in chances else float(np.average(chances, weights=weights)),
    spread=float(np.std(spread)) if len(spread) > 1 else None,
    parts=parts,
    note=" | ".join(dict.fromkeys(row.note for row in answered.values() if row.note)),
  )


def _defined(row: Row) -> list[float]:
  return [part for part in row.parts.values() if part is not None and np.isfinite(part)]


def _is_mean_of_parts(row: Row) -> bool:
  parts = _defined(row)
  return bool(parts) and bool(np.isclose(np.mean(parts), row.value, rtol=1e-6, atol=1e-9))


def _side_by_side(rows: Mapping[str, Row]) -> dict[str, float]:
  """Parts of all folds; those that are called the same in several are told apart by the fold."""
  times = Counter(name for row in rows.values() for name in row.parts)
  return {
    name if times[name] == 1 else f"{fold}: {name}": part
    for fold, row in rows.items()
    for name, part in row.parts.items()
  }
