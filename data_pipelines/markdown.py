"""Text that others wrote, inside Markdown: it stays text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from data_pipelines.problems import printable

_MARKUP = re.compile(r"<(?=[A-Za-z/!?])")
_LINK = re.compile(r"\](?=[(\[:])")


def cell(text: object) -> str:
  """As shown in a line or a cell of a table: no HTML, no link, no line break, no other cell."""
  shown = printable(re.sub(r"\s", " ", str(text)))
  return _LINK.sub(r"\\]", _MARKUP.sub("&lt;", shown)).replace("|", "\\|")


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
  """A table of cells."""
  lines = [header, ["---"] * len(header), *([cell(one) for one in row] for row in rows)]
  return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
