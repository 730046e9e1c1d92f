"""Which panel genes are housekeeping genes, and who says so."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from data_pipelines.genes import GenePanel
from data_pipelines.loading.corpus import Corpus
from data_pipelines.problems import BadInputError
from data_pipelines.text_files import read_text
from hibio.evaluation.baselines import planted

PATTERN = re.compile(r"^(RP[LS]\d|MT-|mt-|Rp[ls]\d)")
"""Ribosomal proteins and mitochondrial genes of human and mouse."""

_COLUMNS = ("gene name", "symbol", "gene", "gene symbol")


@dataclasses.dataclass(frozen=True)
class Housekeeping:
  """The housekeeping genes of a panel.

  Attributes:
    genes: one value a panel gene.
    source: where the list comes from, for a reader.
  """

  genes: Bool[np.ndarray, " gene"]
  source: str


def read(path: str | os.PathLike | None, corpus: Corpus) -> Housekeeping:
  """The genes of a list, or what is known without one.

  Raises:
    BadInputError: none of the list's genes is on the panel.
  """
  return of_file(path, corpus.panel) if path else of_corpus(corpus)


def of_file(path: str | os.PathLike, panel: GenePanel) -> Housekeeping:
  """A list of one gene a line, or a table with a column of gene names.

  Raises:
    BadInputError: none of its genes is on the panel.
  """
  lines = [re.split(r"[;,\t]", line.strip()) for line in read_text(Path(path)).split("\n")]
  lines = [cells for cells in lines if cells[0]]
  header = [cell.strip().casefold() for cell in lines[0]] if lines else []
  column = next((header.index(name) for name in _COLUMNS if name in header), 0)
  names = tuple(cells[column].strip() for cells in lines if len(cells) > column)
  found = np.zeros(len(panel), bool)
  found[list(panel.rows(names).values())] = True
  if not found.any():
    looks = ", ".join(names[1:4]) or "nothing"
    raise BadInputError(
      path, "genes", f"none of {len(names):,} on the panel (they look like {looks})",
      f"names like {', '.join(panel.symbols[:3])}",
      "give a list of the same species and kind of name",
    )  # fmt: skip
  return Housekeeping(found, f"{found.sum()} of the {len(names):,} genes of {Path(path).name}")


def of_corpus(corpus: Corpus) -> Housekeeping:
  """Without a list: the genes planted as housekeeping in synthetic tissue, else by name alone."""
  if truth := planted.truth_of(corpus.path):
    found = planted.housekeeping_genes(truth, corpus.panel)
    return Housekeeping(found, f"{found.sum()} genes planted as housekeeping")
  found = np.array([bool(PATTERN.match(name)) for name in corpus.panel.symbols])
  return Housekeeping(
    found, f"{found.sum()} genes named like ribosomal proteins or mitochondrial genes"
  )
