"""Flags that say what files do not, the same for every command that reads sections."""

from __future__ import annotations

from data_pipelines.entry import Flags
from data_pipelines.readers.metadata import POSITIONS, Words


class WordFlags:
  """Defines them; `words()` is what was said, once the command line is parsed."""

  def __init__(self, flags: Flags):
    self._flags = (
      flags.float("um_per_px", None, "Micrometres a pixel of the positions, if files do not say"),
      flags.string("layer", None, "Matrix of raw counts of an AnnData"),
      flags.string(
        "library_key", None, "Column that names sections in .h5ad, CosMx or MERSCOPE tables"
      ),
      flags.string("image", None, "H&E image of the only section; none to read no image"),
      flags.float("image_scale", None, "Pixels of --image per pixel of the positions"),
      flags.string("platform", None, "Platform to read as, or the array of an .h5ad file"),
      flags.float("pitch_um", None, "Side of the squares that bins or cells are pooled to"),
      flags.string("genome", None, "Genome or species whose genes are kept, of a matrix of two"),
      flags.bool("round_counts", None, "Round counts that a correction left with fractions"),
      flags.string("positions", None, f"What is known of positions: {', '.join(POSITIONS)}"),
    )

  def words(self) -> Words:
    """What was said.

    Raises:
      BadInputError: a number out of range.
    """
    return Words(**{flag.name: flag.value for flag in self._flags})
