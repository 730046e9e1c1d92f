"""Models as they are handed on: parameters without an optimizer, and what reading needs.

  parameters.npz   every array of the parameters, by its path in the tree
  meta.json        config, gene panel, corpus, step
  corpus.npz       gene sets and the background of genes
  readout.npz      what expression is predicted by, where training ended with one
  panel.tsv        the gene panel, for `python -m data_pipelines.prepare --panel=`
  model_card.md    what it knows, what it does not, how it was made

Small ones come with the library, in `hibio/checkpoints`.
"""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from data_pipelines import files
from data_pipelines.problems import BadInputError
from hibio import readout
from hibio.training.checkpoints import read_params
from hibio.training.tables import TABLES
from hibio.training.workdir import PANEL

PARAMETERS, META, CARD = "parameters.npz", "meta.json", "model_card.md"
_SHIPPED = Path(__file__).parent / "checkpoints"


def shipped() -> list[str]:
  """Names of the models that come with the library."""
  return sorted(path.parent.name for path in _SHIPPED.glob(f"*/{PARAMETERS}"))


def folder_of(path: str | os.PathLike) -> Path:
  """The folder that is meant: an existing one, else a model that comes with the library."""
  folder = Path(path).expanduser()
  return _SHIPPED / folder if not folder.exists() and str(path) in shipped() else folder


def is_released(folder: Path) -> bool:
  """Whether a folder holds a model in this form, and not a work directory."""
  return (folder / PARAMETERS).is_file()


def write(workdir: Path, output: Path, card: str) -> None:
  """Hands on the newest whole checkpoint of a work directory.

  Args:
    card: the model card, Markdown.

  Raises:
    BadInputError: there is no checkpoint, or `output` is there already.
  """
  params, meta = read_params(workdir)
  if output.exists():
    raise BadInputError(
      output, "--output", "a folder that is already there", "a new folder", "name another one"
    )
  output.mkdir(parents=True)
  flat = {name: np.asarray(array) for name, array in flatten_dict(params, sep="/").items()}
  with files.appearing(output / PARAMETERS) as partial, partial.open("wb") as file:
    np.savez_compressed(file, **flat)
  beside = [PANEL, TABLES]
  if readout.saved(workdir, meta["step"]) is not None:
    beside.append(readout.READOUT)
  for name in beside:
    shutil.copyfile(workdir / name, output / name)
  files.write_text(output / META, json.dumps(meta) + "\n")
  files.write_text(output / CARD, card)


def read(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
  """Parameters and meta, as `hibio.training.checkpoints.read_params` gives them.

  Raises:
    BadInputError: a file is missing or damaged.
  """
  try:
    meta = json.loads((folder / META).read_text(encoding="utf-8"))
    with (folder / PARAMETERS).open("rb") as file, np.load(file) as arrays:
      flat = {name: jnp.asarray(arrays[name]) for name in arrays.files}
  except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
    raise BadInputError(
      folder, "released model", f"not readable ({error})", f"whole files {META} and {PARAMETERS}",
      "copy the folder again from its source",
    ) from error  # fmt: skip
  return unflatten_dict(flat, sep="/"), meta
