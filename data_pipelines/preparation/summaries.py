"""What the choice of genes needs of each section, kept on disk so that it is read only once."""

from __future__ import annotations

import dataclasses
import io
import zipfile
from pathlib import Path

import numpy as np

from data_pipelines.files import write_bytes
from data_pipelines.genes import GeneSummary, summarise
from data_pipelines.preparation.splits import content_hash
from data_pipelines.section import Section


@dataclasses.dataclass(frozen=True)
class Summary:
  """A section's genes, and a hash of its counts."""

  genes: GeneSummary
  content: str


def summary_of(section: Section) -> Summary:
  """From a section that is in memory."""
  return Summary(summarise(section), content_hash(section))


def save(path: Path, summary: Summary, fingerprint: str) -> None:
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


def load(path: Path, section_id: str, fingerprint: str) -> Summary | None:
  """What `save` wrote, if the section has not changed since."""
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
