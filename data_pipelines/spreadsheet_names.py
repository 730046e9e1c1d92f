"""Genes whose names a spreadsheet turned into dates, and what they were called before.

References:
  Ziemann et al. 2016, doi:10.1186/s13059-016-1044-7.
"""

from __future__ import annotations

import collections
import re
from collections.abc import Sequence

_GENES = {3: ("MARCH", "MARC"), 9: ("SEPT",), 12: ("DEC",)}
"""Month -> families of genes that are called after it and a number."""

_LARGEST = {"MARCH": 11, "MARC": 2, "SEPT": 14, "DEC": 1}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

_AGAIN = r"(?:\.\d+)?"  # R and pandas number names that come twice
_DAY_FIRST = re.compile(rf"(\d{{1,2}})-([a-z]{{3,4}})(?:-\d{{2,4}})?{_AGAIN}", re.I)
_MONTH_FIRST = re.compile(rf"([a-z]{{3,4}})-(\d{{1,2}}){_AGAIN}", re.I)
_YEAR_FIRST = re.compile(rf"\d{{4}}-(\d\d)-(\d\d)(?: 00:00:00)?{_AGAIN}")
_SLASHES = re.compile(rf"(\d{{1,2}})/(\d{{1,2}})/\d{{2,4}}{_AGAIN}")


def restored(names: Sequence[str]) -> dict[str, str]:
  """Name that is a date -> the gene that it was; "" where it may have been several.

  Dates that two genes became stand for none of them: their counts are not to be summed.
  """
  dates = {name: genes for name in names if (genes := _genes(name)) is not None}
  times = collections.Counter(genes for name in names if (genes := dates.get(name)) is not None)
  return {
    name: genes[0] if len(genes) == 1 and times[genes] == 1 else "" for name, genes in dates.items()
  }


def _genes(name: str) -> tuple[str, ...] | None:
  """Genes that a spreadsheet shows so; None where the name is no date."""
  days = _days(name)
  if days is None:
    return None
  found = {
    f"{family}{day}": None
    for month, day in days
    for family in _GENES.get(month, ())
    if 1 <= day <= _LARGEST[family]
  }
  return tuple(found)


def _days(name: str) -> tuple[tuple[int, int], ...] | None:
  """(month, day) that a name may stand for; two where their order is not known."""
  if m := _DAY_FIRST.fullmatch(name):
    month, day = m[2], m[1]
  elif m := _MONTH_FIRST.fullmatch(name):
    month, day = m[1], m[2]
  elif m := _YEAR_FIRST.fullmatch(name):
    return ((int(m[1]), int(m[2])),) if 1 <= int(m[1]) <= 12 and 1 <= int(m[2]) <= 31 else None
  elif m := _SLASHES.fullmatch(name):
    one, two = int(m[1]), int(m[2])
    return tuple({(one, two), (two, one)})
  else:
    return None
  number = next((n for n, word in enumerate(_MONTHS, 1) if month.lower()[:3] == word), None)
  return None if number is None or not 1 <= int(day) <= 31 else ((number, int(day)),)
