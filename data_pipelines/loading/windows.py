"""Random access to the windows of chosen splits, whichever sections they lie in."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from data_pipelines.loading.corpus import Corpus
from data_pipelines.preparation import shards
from data_pipelines.preparation.splits import SPLITS
from data_pipelines.problems import BadInputError


class Windows:
  """The windows of some splits of a corpus, section after section.

  `windows[number]` is an element as stored (patches still JPEG bytes), with `spot_index` counted
  over the whole corpus and the row of its section under `section_index`.

  Attributes:
    section: row of the section of each window.
  """

  section: Int[np.ndarray, " window"]

  def __init__(self, corpus: Corpus, splits: Sequence[str]):
    """Reads nothing yet.

    Raises:
      BadInputError: these splits hold no section.
    """
    self.corpus = corpus
    self._splits = tuple(splits)
    sections = corpus.manifest["sections"]
    rows = [row for row, section in enumerate(sections) if section["split"] in splits]
    if not rows:
      filled = [name for name in SPLITS if corpus.manifest["splits"][name]]
      raise BadInputError(
        corpus.path,
        f"split {' or '.join(splits)}",
        "no section",
        f"a split with sections: {', '.join(filled)}",
        "prepare again with --test_donors or --validation_donors, or ask for another split",
      )
    numbers = [sections[row]["num_windows"] for row in rows]
    self.section = np.repeat(np.array(rows, np.int32), numbers)
    self._number = np.concatenate([np.arange(number) for number in numbers])
    self._opened = functools.lru_cache(maxsize=None)(corpus.stored_windows)

  def __len__(self) -> int:
    return len(self.section)

  def __getitem__(self, number: int) -> dict[str, np.ndarray]:
    row, window = self.place_of(number)
    element, section = self._opened(row)[window], self.corpus.manifest["sections"][row]
    spots, most = element["spot_index"], self.corpus.window_spots
    if len(spots) > most or not ((spots >= 0) & (spots < section["num_spots"])).all():
      problem = ValueError("spots that the manifest does not know")
      raise shards.damaged(self.corpus.section_folder(row), f"window {window}", problem)
    return {
      **element,
      "spot_index": spots + np.int32(section["spot_offset"]),
      "section_index": np.int32(row),
    }

  def place_of(self, number: int) -> tuple[int, int]:
    """The row of its section, and which of its windows it is."""
    return int(self.section[number]), int(self._number[number])

  def __repr__(self) -> str:
    return f"Windows({self.corpus.fingerprint}, {self._splits})"
