"""Results written to an `.h5ad` file beside its place, and put there when it is complete."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import anndata
import h5py

from data_pipelines import files
from data_pipelines.problems import BadInputError
from data_pipelines.readers.annotated import contents
from data_pipelines.readers.annotated.sections import Choices, sections_of
from hibio.export import embedding as embedding_
from hibio.export.embedding import Settings
from hibio.export.results import InFile
from hibio.pretrained import Pretrained


def check_output(output: Path, overwrite: bool) -> None:
  """Whether a result can be put here; before anything slow begins.

  Raises:
    BadInputError: no such folder, another ending, or a file that is already there.
  """
  if output.suffix != ".h5ad":
    raise BadInputError(
      output, "--output", f"a name ending in {output.suffix or 'nothing'}", ".h5ad", "rename it"
    )
  if not output.parent.is_dir():
    raise BadInputError(
      output, "--output", "no such folder", "a file in a folder that is there",
      f"make the folder: mkdir -p {output.parent}",
    )  # fmt: skip
  if output.exists() and not (overwrite and output.is_file()):
    raise BadInputError(
      output, "--output", "a file that is already there", "a new file",
      "give another --output, or --overwrite to replace it",
    )  # fmt: skip


@contextlib.contextmanager
def beside(output: Path) -> Iterator[Path]:
  """A name to write under; the file takes its place at the end, or goes if anything fails.

  Raises:
    BadInputError: no room on the disk, or no right to write there.
  """
  try:
    with files.appearing(output) as partial:
      yield partial
  except OSError as error:
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EPERM):
      raise
    raise BadInputError(
      output, "--output", f"no way to write ({error.strerror})", "room and the right to write",
      "free some space, or give another --output",
    ) from error  # fmt: skip


def write(adata: anndata.AnnData, output: Path) -> None:
  """Puts an AnnData in place in one step."""
  with beside(output) as partial:
    adata.write_h5ad(partial)


def embed(
  model: Pretrained,
  source: Path,
  output: Path,
  choices: Choices,
  chosen: Settings,
  command: Mapping[str, Any],
) -> float:
  """Copies `source` and adds results to the copy; no matrix of it is ever in memory as a whole.

  Returns:
    Spots a second.

  Raises:
    BadInputError: something in `source` cannot be used; `output` is then as it was.
  """
  with contents.opened(source) as found:
    sections = sections_of(found, choices)
    with beside(output) as partial:
      shutil.copyfile(source, partial)
      with h5py.File(partial, "r+") as file:
        results = InFile(file, len(found.obs))
        return embedding_.embed(model, sections, found.genes["var"], results, chosen, command)
