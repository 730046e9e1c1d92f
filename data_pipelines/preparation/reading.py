"""The sections that a corpus is made of, each read as seldom as possible.

They are needed twice: for the choice of genes, then to be written. What the first needs is kept on
disk; small sections stay in memory for the second.
"""

from __future__ import annotations

import dataclasses
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.files import write_bytes
from data_pipelines.gene_names import GeneNames
from data_pipelines.genes import GeneSummary, summarise
from data_pipelines.preparation.manifest import WORK
from data_pipelines.preparation.splits import content_hash
from data_pipelines.section import Section

_KEPT_BYTES = 1 << 30
"""Counts kept in memory between choosing the genes and writing the windows."""


@dataclasses.dataclass(frozen=True)
class Summary:
  """A section's genes, and a hash of its counts."""

  genes: GeneSummary
  content: str


class Sections:
  """Reads sections, and keeps small ones for the second time that they are asked for.

  Args:
    sources: where each section lies, by name.
    fingerprints: of the sources; with another one a summary on disk no longer holds.
    output: folder of the corpus.
    names: table of gene names to rename genes by.
  """

  def __init__(
    self,
    sources: Mapping[str, Any],
    fingerprints: Mapping[str, str],
    output: Path,
    names: GeneNames | None,
  ):
    self.sources, self.fingerprints, self.names = sources, fingerprints, names
    self._folder = output / WORK / "summaries"
    self._kept: dict[str, Section] = {}
    self._bytes = 0

  def summary(self, name: str) -> Summary:
    """What the choice of genes needs of a section."""
    path = self._folder / f"{name}.npz"
    known = _load(path, name, self.fingerprints[name])
    if known is not None:
      return known
    section = self._read(name)
    size = section.counts.data.nbytes + section.counts.indices.nbytes
    if self._bytes + size <= _KEPT_BYTES:
      self._kept[name] = section
      self._bytes += size
    known = _summary_of(section)
    _save(path, known, self.fingerprints[name])
    return known

  def take(self, name: str) -> Section:
    """A section as a whole, and for the last time: it is kept no longer."""
    section = self._kept.pop(name, None)
    return self._read(name) if section is None else section

  def _read(self, name: str) -> Section:
    section = self.sources[name].read()
    return self.names.on_section(section) if self.names else section


def _summary_of(section: Section) -> Summary:
  """From a section that is in memory."""
  return Summary(summarise(section), content_hash(section))


def _save(path: Path, summary: Summary, fingerprint: str) -> None:
  """Writes it in one step."""
  buffer = io.BytesIO()
  genes = summary.genes
  np.savez_compressed(
    buffer,
    fingerprint=fingerprint,
    content=summary.content,
    num_spots=genes.num_spots,
    gene_ids=genes.gene_ids.astype(str),
    gene_symbols=genes.gene_symbols.astype(str),
    document_frequency=genes.document_frequency,
  )
  write_bytes(path, buffer.getvalue())


def _load(path: Path, section_id: str, fingerprint: str) -> Summary | None:
  """What `_save` wrote, if the section has not changed since."""
  try:
    with np.load(path) as arrays:
      if str(arrays["fingerprint"]) != fingerprint:
        return None
      genes = GeneSummary(
        section_id=section_id,
        num_spots=int(arrays["num_spots"]),
        gene_ids=arrays["gene_ids"].astype(object),
        gene_symbols=arrays["gene_symbols"].astype(object),
        document_frequency=arrays["document_frequency"],
      )
      return Summary(genes, str(arrays["content"]))
  except (OSError, ValueError, KeyError, zipfile.BadZipFile):
    return None
