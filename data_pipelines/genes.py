"""The gene panel: the ordered genes a model reads, and how a section's genes map onto it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class GenePanel:
  """Ordered genes. A gene a section does not measure is missing there, not zero.

  Attributes:
    ids: one id a gene: the Ensembl id without version where known, else the approved symbol.
    symbols: one symbol a gene, same order.
  """

  ids: tuple[str, ...]
  symbols: tuple[str, ...]

  def __len__(self) -> int:
    return len(self.ids)

  @property
  def hash(self) -> str:
    """First 16 hex digits of the SHA-256 over ids in order: two panels are the same or are not."""
    return hashlib.sha256("\n".join(self.ids).encode()).hexdigest()[:16]

  def rows(self, symbols: Sequence[str]) -> dict[str, int]:
    """Panel row of each given symbol or id that the panel holds."""
    lookup = {name: row for row, name in enumerate(self.symbols)}
    lookup |= {name: row for row, name in enumerate(self.ids)}
    return {name: lookup[name] for name in symbols if name in lookup}
