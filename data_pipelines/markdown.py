"""Text that others wrote, inside Markdown: it stays text."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from data_pipelines.problems import printable


def cell(text: object) -> str:
  """As shown in a cell of a table: no markup, no line breaks, no other cell."""
  return html.escape(printable(str(text)), quote=False).replace("|", "\\|")


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
  """A table of cells."""
  lines = [header, ["---"] * len(header), *([cell(one) for one in row] for row in rows)]
  return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
