"""`corpus.npz` of a work directory: gene sets and the background of genes.

Without it no new section can be read as the model was trained to read one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_pipelines import files
from data_pipelines.problems import BadInputError
from hibio.batch import Tables

TABLES = "corpus.npz"

WRITE_TABLES_AGAIN = (
  "run the command of the training once more, with the version it was trained with: it only writes"
  " this file"
)

_BACKGROUND = ("document_share", "mean_fraction", "spatial")
"""Fields of `hibio.batch.SectionStatistics` after "corpus_"."""


def save_tables(workdir: Path, names: Sequence[str], tables: Tables) -> None:
  """Writes what a new section is read with, beside the checkpoints.

  Args:
    names: of the gene sets.
  """
  pathway, gene = np.nonzero(np.asarray(tables.membership))
  with files.appearing(workdir / TABLES) as partial, partial.open("wb") as file:
    np.savez_compressed(
      file,
      names=np.array(list(names), dtype=str),
      pathway=pathway,
      gene=gene,
      **{n: np.asarray(getattr(tables.statistics, f"corpus_{n}")) for n in _BACKGROUND},
    )


def saved_tables(workdir: Path) -> dict[str, np.ndarray]:
  """What `save_tables` wrote.

  Raises:
    BadInputError: the file is missing or damaged.
  """
  path = workdir / TABLES
  try:
    found = files.read_arrays(path)
    if missing := {"names", "pathway", "gene", *_BACKGROUND} - found.keys():
      raise ValueError(f"no {min(missing)}")
    return found
  except FileNotFoundError as error:
    raise BadInputError(
      path, "file", "none", "what is known of genes in the corpus", WRITE_TABLES_AGAIN
    ) from error
  except (OSError, ValueError) as error:
    raise BadInputError(
      path, "content", f"damaged ({error})", "what training wrote", WRITE_TABLES_AGAIN
    ) from error


def background(workdir: Path) -> dict[str, np.ndarray]:
  """What a run took for granted of each gene: fields of `hibio.batch.SectionStatistics`.

  Raises:
    BadInputError: as `saved_tables`.
  """
  found = saved_tables(workdir)
  return {f"corpus_{name}": found[name] for name in _BACKGROUND}


def gene_set_names(workdir: Path) -> tuple[str, ...]:
  """Names of the gene sets of a run, in the order of its anchors.

  Raises:
    BadInputError: as `saved_tables`.
  """
  return tuple(saved_tables(workdir)["names"].tolist())
