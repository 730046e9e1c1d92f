"""Names of genes as R spells them in the columns of a table, and what they were before.

R's `make.names` puts a dot for every sign but letters, digits, dots and underscores, and an X
before a digit: HLA-A becomes HLA.A, 7SK becomes X7SK.
"""

from __future__ import annotations

import collections
import re
from collections.abc import Iterable

_OTHER = re.compile(r"[^A-Za-z0-9._]")


def unspelled(names: Iterable[str]) -> dict[str, str]:
  """R's spelling -> the name that it was; none where it is of several names, or a name itself."""
  names = set(names)
  meant = collections.defaultdict(set)
  for name in names:
    meant[_spelled(name)].add(name)
  return {
    spelling: next(iter(of))
    for spelling, of in meant.items()
    if len(of) == 1 and spelling not in names
  }


def _spelled(name: str) -> str:
  spelling = _OTHER.sub(".", name)
  return f"X{spelling}" if re.match(r"[0-9_]|\.[0-9]", spelling) else spelling
