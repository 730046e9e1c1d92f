"""Models as they are handed on: parameters without an optimizer, and what reading needs.

  parameters.npz   every array of the parameters, by its path in the tree
  meta.json        config, gene panel, corpus, step
  corpus.npz       gene sets and the background of genes
  readout.npz      what expression is predicted by, where training ended with one
  panel.tsv        the gene panel, for `python -m data_pipelines.prepare --panel=`
  model_card.md    what it knows, what it does not, how it was made
  sha256.json      of all of these but the card

Small ones come with the library, in `hibio/checkpoints`.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from data_pipelines import files
from data_pipelines.problems import BadInputError, disk_explained
from hibio import readout
from hibio.training.checkpoints import read_params
from hibio.training.tables import TABLES
from hibio.training.workdir import PANEL

PARAMETERS, META, CARD = "parameters.npz", "meta.json", "model_card.md"
DIGESTS = "sha256.json"
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
  return any((folder / name).is_file() for name in (PARAMETERS, META))


def write(workdir: Path, output: Path, card: str) -> None:
  """Hands on the newest whole checkpoint of a work directory.

  Args:
    card: the model card, Markdown.

  Raises:
    BadInputError: there is no checkpoint, `output` is there already, or has no room.
  """
  params, meta = read_params(workdir)
  if output.exists():
    raise BadInputError(
      output, "--output", "a folder that is already there", "a new folder", "name another one"
    )
  flat = {name: np.asarray(array) for name, array in flatten_dict(params, sep="/").items()}
  needed = f"about {sum(array.nbytes for array in flat.values()):,} bytes"
  with disk_explained(output.parent, "--output", needed), files.appearing_in(output) as place:
    np.savez_compressed(place / PARAMETERS, **flat)
    beside = [PANEL, TABLES]
    if readout.saved(workdir, meta["step"]) is not None:
      beside.append(readout.READOUT)
    for name in beside:
      shutil.copyfile(workdir / name, place / name)
    (place / META).write_text(json.dumps(meta) + "\n")
    seal(place)
    (place / CARD).write_text(card, encoding="utf-8")


def seal(folder: Path) -> None:
  """Writes the SHA-256 of every file that is there; the card may be edited."""
  digests = {path.name: files.sha256(path) for path in files.visible(folder)}
  unsealed = {CARD, DIGESTS}
  kept = {name: digest for name, digest in digests.items() if name not in unsealed}
  files.write_bytes(folder / DIGESTS, files.sealed({"files": kept}))


def read(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
  """Parameters and meta, as `hibio.training.checkpoints.read_params` gives them.

  Raises:
    BadInputError: a file is missing or damaged.
  """
  try:
    _check(folder)
    meta = json.loads((folder / META).read_text(encoding="utf-8"))
    flat = {n: jnp.asarray(array) for n, array in files.read_arrays(folder / PARAMETERS).items()}
  except (OSError, ValueError, KeyError) as error:
    raise BadInputError(
      folder, "released model", f"not readable ({error})", f"whole files {META} and {PARAMETERS}",
      "copy the folder again from its source",
    ) from error  # fmt: skip
  return unflatten_dict(flat, sep="/"), meta


def _check(folder: Path) -> None:
  """Raises ValueError unless every file is as it was handed on."""
  digests = files.unsealed((folder / DIGESTS).read_bytes())["files"]
  there = {path.name: path for path in files.visible(folder) if path.is_file()}
  for name in {PARAMETERS, META, TABLES, PANEL} | digests.keys():
    if name not in there or name not in digests:
      raise ValueError(f"{name} is missing")
    if files.sha256(there[name]) != digests[name]:
      raise ValueError(f"{name} has changed since it was handed on")
