"""Genes whose names a spreadsheet turned into dates, and what they were called before.

References:
  Ziemann et al. 2016, doi:10.1186/s13059-016-1044-7.
"""

from __future__ import annotations

import collections
import datetime
import re
from collections.abc import Sequence

_GENES = {3: ("MARCH", "MARC"), 9: ("SEPT",), 12: ("DEC",)}
"""Month -> families of genes that are called after it and a number."""

_LARGEST = {"MARCH": 11, "MARC": 2, "SEPT": 14, "DEC": 1}
_TODAY = {"MARCH": "MARCHF", "MARC": "MTARC", "SEPT": "SEPTIN", "DEC": "DELEC"}
"""What the families are called since their names are no dates."""

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = {word: number for number, word in enumerate(_MONTHS, 1)} | {"sept": 9}
_FOREIGN = {
  "mrz": 3, "mär": 3, "märz": 3, "mrt": 3, "mars": 3, "mai": 5, "set": 9, "okt": 10,
  "dez": 12, "dic": 12, "déc": 12,
}  # fmt: skip

_R = r"X?"  # R puts it before a digit, and a dot for every other sign
_AGAIN = r"(?:\.\d+)?"  # R and pandas number names that come twice
_WORD = r"[^\W\d_]{3,4}"
_DAY_FIRST = re.compile(
  rf"{_R}(\d{{1,2}})[-. /]{{1,2}}({_WORD})\.?(?:[-. ]\d{{2,4}})?{_AGAIN}", re.I
)
_MONTH_FIRST = re.compile(rf"({_WORD})(?:-(\d{{1,2}})|[-. ](\d\d)){_AGAIN}", re.I)
_YEAR_FIRST = re.compile(rf"{_R}\d{{4}}[-.](\d\d)[-.](\d\d)(?:[ .]00[:.]00[:.]00)?{_AGAIN}")
_SLASHES = re.compile(rf"(\d{{1,2}})/(\d{{1,2}})/\d{{2,4}}{_AGAIN}")
_SERIAL = re.compile(rf"{_R}(\d{{5}})(?:\.0)?{_AGAIN}")

_DAY_0 = datetime.date(1899, 12, 30)
_YEARS = range(1985, 2050)
"""Of the days that a spreadsheet numbers from `_DAY_0` on."""

_FEW = 0.05
"""Names that are numbers, of all, up to which they may be days; more are numbers of genes."""


def restored(names: Sequence[str]) -> dict[str, str]:
  """Name that is a date -> the gene that it was; "" where it may have been several.

  Dates that two genes became stand for none of them, nor does a date beside its gene: their counts
  are not to be summed.
  """
  numbers = sum(_SERIAL.fullmatch(name) is not None for name in names) <= _FEW * len(names)
  dates = {name: genes for name in names if (genes := _genes(name, numbers)) is not None}
  times = collections.Counter(genes for name in names if (genes := dates.get(name)) is not None)
  there = {name.upper() for name in names}
  return {
    name: genes[0]
    if len(genes) == 1 and times[genes] == 1 and not there & {genes[0], _today(genes[0])}
    else ""
    for name, genes in dates.items()
  }


def _today(gene: str) -> str:
  family = gene.rstrip("0123456789")
  return _TODAY[family] + gene[len(family) :]


def _genes(name: str, numbers: bool) -> tuple[str, ...] | None:
  """Genes that a spreadsheet shows so; None where the name is no date."""
  days = _days(name)
  serial = days is None and numbers and (m := _SERIAL.fullmatch(name))
  if serial:
    day = _DAY_0 + datetime.timedelta(days=int(m[1]))
    days = ((day.month, day.day),) if day.year in _YEARS else None
  if days is None:
    return None
  found = {
    f"{family}{day}": None
    for month, day in days
    for family in _GENES.get(month, ())
    if 1 <= day <= _LARGEST[family]
  }
  return None if serial and not found else tuple(found)


def _days(name: str) -> tuple[tuple[int, int], ...] | None:
  """(month, day) that a name may stand for; two where their order is not known."""
  if m := _DAY_FIRST.fullmatch(name):
    number, day = (_MONTH | _FOREIGN).get(m[2].lower()), m[1]
  elif m := _MONTH_FIRST.fullmatch(name):
    day = m[2] or m[3]
    number = (_MONTH | (_FOREIGN if len(day) == 2 else {})).get(m[1].lower())
  elif m := _YEAR_FIRST.fullmatch(name):
    return ((int(m[1]), int(m[2])),) if 1 <= int(m[1]) <= 12 and 1 <= int(m[2]) <= 31 else None
  elif m := _SLASHES.fullmatch(name):
    one, two = int(m[1]), int(m[2])
    return tuple({(one, two), (two, one)})
  else:
    return None
  return None if number is None or not 1 <= int(day) <= 31 else ((number, int(day)),)
