"""What became of each section of a corpus, for whoever prepared it: `summary.md`."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_pipelines.console import counted, say
from data_pipelines.files import write_text
from data_pipelines.markdown import table
from data_pipelines.preparation.manifest import SUMMARY
from data_pipelines.problems import BadInputError


class Bad:
  """Sections that cannot be used: the first ends the work, unless they are to be skipped.

  Attributes:
    reasons: name -> what is wrong with it, of those that are skipped.
  """

  def __init__(self, skip: bool):
    self._skip = skip
    self.reasons: dict[str, str] = {}

  @contextlib.contextmanager
  def met(self, name: str) -> Iterator[None]:
    """Whatever bad input is met inside is a reason to skip the section.

    Raises:
      BadInputError: bad sections are not to be skipped.
    """
    try:
      yield
    except BadInputError as problem:
      if not self._skip:
        raise
      self.reasons[name] = str(problem)
      say(f"prepare: {name} is skipped: {problem}")

  def refuse_all(self, left: Collection) -> None:
    """Makes sure that not every section is skipped.

    Raises:
      BadInputError: nothing is left.
    """
    if not left:
      raise BadInputError(
        "--skip_bad", "sections", "none that can be used", "at least one",
        f"mend the first: {next(iter(self.reasons.values()), 'none was found')}",
      )  # fmt: skip


def write(
  corpus: Path, entries: Sequence[Mapping[str, Any]], num_genes: int, skipped: Mapping[str, str]
) -> None:
  """Writes the table of sections and, below, why some are not in it.

  Args:
    entries: the manifest's, with splits.
    num_genes: of the panel.
    skipped: name -> reason.
  """
  spots = sum(entry["num_spots"] for entry in entries)
  rows = [
    (
      entry["section_id"], entry["donor_id"], entry["split"], entry["platform"],
      f"{entry['num_spots']:,}", f"{entry['num_measured']:,}",
      f"{entry['um_per_px']:.3g} ({entry['um_per_px_source']})" if entry["has_image"] else "none",
      "; ".join(counted(count, reason) for reason, count in entry["dropped"].items() if count),
      "; ".join(f"{count:,} {flag}" for flag, count in entry["flagged"].items() if count),
      "; ".join(entry["notes"]),
    )
    for entry in entries
  ]  # fmt: skip
  header = (
    "section", "donor", "split", "platform", "spots", "genes", "image, µm per px", "left out",
    "flagged", "notes",
  )  # fmt: skip
  number = counted(len(entries), "sections")
  text = f"# Sections\n\n{number}, {spots:,} spots, {num_genes:,} genes.\n\n"
  text += table(header, rows)
  if skipped:
    text += f"\n# Skipped\n\n{table(('section', 'reason'), skipped.items())}"
  write_text(corpus / SUMMARY, text)
