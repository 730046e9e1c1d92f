"""Whether a corpus fits on the disk, asked before hours of work."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from data_pipelines.genes import GenePanel
from data_pipelines.preparation.reading import Summary
from data_pipelines.problems import BadInputError

# As measured on HER2ST with patches of 32, 64 and 224 px: at least so much a patch, however smooth
# the tissue, and about so much a count that is not 0.
_PATCH_BYTES, _PIXEL_BYTES, _COUNT_BYTES = 600, 0.25, 1.6
_SECTION_BYTES, _SPOT_BYTES, _GENE_BYTES = 130_000, 100, 20
"""Of a shard, however small; of the tables, a spot's row and a gene of a section."""


def needed(sections: Iterable[Summary], panel: GenePanel, patch_px: int) -> int:
  """Bytes that sections which are not written yet will take at least."""
  known = (list(panel.ids), list(panel.symbols))
  total = 0.0
  for section in sections:
    genes = section.genes
    of_panel = np.isin(genes.gene_ids.astype(str), known[0])
    of_panel |= np.isin(genes.gene_symbols.astype(str), known[1])
    total += _COUNT_BYTES * genes.document_frequency[of_panel].sum()
    total += _SECTION_BYTES + genes.num_spots * _SPOT_BYTES + len(panel) * _GENE_BYTES
    if section.has_image:
      total += genes.num_spots * (_PATCH_BYTES + _PIXEL_BYTES * patch_px**2)
  return int(total)


def check(output: Path, needed: int) -> None:
  """Makes sure that there is room.

  Raises:
    BadInputError: there is less; names the bytes.
  """
  free = shutil.disk_usage(output).free
  if free < needed:
    raise BadInputError(
      output, "disk", f"{free:,} bytes free", in_words(needed),
      "free some space, or give another --output",
    )  # fmt: skip


def in_words(needed: int) -> str:
  """What a message says of it."""
  return f"room for the whole corpus, about {needed:,} bytes"
