"""The sections that a corpus is made of, each read as seldom as possible.

They are needed twice: for the choice of genes, then to be written. What the first needs is kept on
disk; small sections stay in memory for the second. Workers read them, and hand them back.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.files import write_bytes
from data_pipelines.gene_names import GeneNames
from data_pipelines.genes import GeneSummary, summarise
from data_pipelines.preparation.manifest import WORK
from data_pipelines.preparation.one_sample import Sample
from data_pipelines.preparation.workers import AHEAD, Each, attempted
from data_pipelines.problems import BadInputError
from data_pipelines.section import Section

_KEPT_BYTES = 1 << 30
"""Counts kept in memory between choosing the genes and writing the windows."""


@dataclasses.dataclass(frozen=True)
class Summary:
  """A section's genes, what it is known by, and whether it has an image."""

  genes: GeneSummary
  sample: Sample
  has_image: bool


@dataclasses.dataclass(frozen=True)
class Found:
  """A section that may have been read already."""

  source: Any
  names: GeneNames | None
  section: Section | None = None

  def read(self) -> Section:
    if self.section is not None:
      return self.section
    section = self.source.read()
    return self.names.on_section(section) if self.names else section


class Sections:
  """Has sections read, and keeps small ones for the second time that they are asked for.

  Args:
    sources: where each section lies, by name.
    fingerprints: of the sources; with another one a summary on disk no longer holds.
    output: folder of the corpus.
    names: table of gene names to rename genes by.
    jobs: how many are read at a time.
    keep: whether small ones are kept; else each is read twice.
  """

  def __init__(
    self,
    sources: Mapping[str, Any],
    fingerprints: Mapping[str, str],
    output: Path,
    names: GeneNames | None,
    jobs: int = 1,
    keep: bool = True,
  ):
    self.sources, self.fingerprints, self.names = sources, fingerprints, names
    self._folder = output / WORK / "summaries"
    self._kept: dict[str, Section] = {}
    self._bytes = 0
    # Workers may be ahead with sections that wait to be kept.
    self._most = keep * (_KEPT_BYTES if jobs == 1 else _KEPT_BYTES // (AHEAD * jobs))

  def summaries(self, each: Each) -> Iterator[tuple[str, Summary | BadInputError]]:
    """What the choice of genes needs of each section, by name, or why it cannot be used."""
    calls = (
      (
        _summarised,
        Found(source, self.names),
        self._folder / f"{name}.summary",
        self.fingerprints[name],
        self._most,
      )
      for name, source in self.sources.items()
    )
    for name, result in zip(self.sources, each(attempted, calls), strict=True):
      if isinstance(result, BadInputError):
        yield name, result
        continue
      summary, section = result
      if section is not None and self._bytes + _size(section) <= _KEPT_BYTES:
        self._kept[name] = section
        self._bytes += _size(section)
      yield name, summary

  def take(self, name: str) -> Found:
    """A section for the last time: it is kept no longer."""
    return Found(self.sources[name], self.names, self._kept.pop(name, None))


def _summarised(
  found: Found, path: Path, fingerprint: str, most: int
) -> tuple[Summary, Section | None]:
  """A section's summary, which is kept in `path`; with the section if it had to be read for it,
  and is not too large."""
  known = _load(path, found.source.section_id, fingerprint)
  if known is not None:
    return known, None
  section = found.read()
  known = Summary(summarise(section), Sample.of(section), section.image is not None)
  _save(path, known, fingerprint)
  return known, section if _size(section) <= most else None


def _size(section: Section) -> int:
  return section.counts.data.nbytes + section.counts.indices.nbytes


def _save(path: Path, summary: Summary, fingerprint: str) -> None:
  """Writes it in one step, behind its digest."""
  buffer = io.BytesIO()
  genes = summary.genes
  np.savez_compressed(
    buffer,
    fingerprint=fingerprint,
    donor=summary.sample.donor,
    content=summary.sample.content,
    places=summary.sample.places,
    depths=summary.sample.depths,
    has_image=summary.has_image,
    num_spots=genes.num_spots,
    gene_ids=genes.gene_ids.astype(str),
    gene_symbols=genes.gene_symbols.astype(str),
    document_frequency=genes.document_frequency,
  )
  write_bytes(path, hashlib.sha256(buffer.getvalue()).digest() + buffer.getvalue())


def _load(path: Path, section_id: str, fingerprint: str) -> Summary | None:
  """What `_save` wrote, if neither it nor the section has changed since."""
  try:
    digest, content = (raw := path.read_bytes())[:32], raw[32:]
  except OSError:
    return None
  if hashlib.sha256(content).digest() != digest:
    return None
  with np.load(io.BytesIO(content)) as arrays:
    if str(arrays["fingerprint"]) != fingerprint:
      return None
    genes = GeneSummary(
      section_id=section_id,
      num_spots=int(arrays["num_spots"]),
      gene_ids=arrays["gene_ids"].astype(object),
      gene_symbols=arrays["gene_symbols"].astype(object),
      document_frequency=arrays["document_frequency"],
    )
    sample = Sample(
      str(arrays["donor"]), str(arrays["content"]), arrays["places"], arrays["depths"]
    )
    return Summary(genes, sample, bool(arrays["has_image"]))
