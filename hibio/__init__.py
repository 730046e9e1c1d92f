"""HiBio-ST: one embedding space for H&E patches and gene expression of tissue spots.

  import hibio

  model = hibio.load("tiny-synthetic")
  adata = model.embed(hibio.synthetic_section())
  hibio.plot(adata, ["H&E", "leaf", "hibio_domain_1", "GLANDULAR"])

Everything below is imported when it is called: JAX and the readers take seconds.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
  from anndata import AnnData
  from matplotlib.figure import Figure

  from hibio.embed import Model

__all__ = ["__version__", "load", "plot", "read", "synthetic_section"]


def load(path: str | os.PathLike) -> Model:
  """A trained model.

  Args:
    path: a work directory of pretraining or finetuning, of which the newest whole checkpoint is
      read; a released model; or "tiny-synthetic", which comes with the library and knows synthetic
      tissue alone.

  Raises:
    BadInputError: no such folder, or no checkpoint in it that can be believed.

  Examples:
    >>> import hibio
    >>> model = hibio.load("tiny-synthetic")
    >>> len(model.genes), model.describe()["embedding_width"]
    (648, 64)
  """
  from hibio import embed

  return embed.load(path)


def read(path: str | os.PathLike, metadata: str | os.PathLike | None = None) -> AnnData:
  """Sections as platforms write them, as one AnnData.

  Raw counts are in `X`, positions in pixels of the full-size image in `obsm["spatial"]`, the image
  in `uns["spatial"]`, the names of sections in `obs["library_id"]`.

  Args:
    path: one section, or a folder of many: Space Ranger output folders at any depth up to five, a
      folder of legacy ST with `counts` and `spots`, or `.h5ad` files; or one such file. A file
      that `hibio embed` wrote comes back as it is, results included.
    metadata: table of the sections, as for `hibio prepare`.

  Raises:
    BadInputError: no section is found, or one cannot be read.

  Examples:
    >>> import hibio, pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> hibio.synthetic_section().write_h5ad(folder / "D101S1.h5ad")
    >>> hibio.read(folder).n_obs
    451
  """
  from hibio import tissue

  return tissue.read(path, metadata)


def synthetic_section(seed: int = 0, preset: str = "small") -> AnnData:
  """A section that is made up, with an H&E image, counts, and the truth that was planted.

  All of a preset have the genes and programs of the tissue that `python -m experiments.pretrain`
  makes, and none of its donors: a model that was trained on that has not seen them.

  Args:
    seed: another donor each.
    preset: how large and how difficult: "tiny", "small", "easy", "medium" or "hard". Each has genes
      of its own; the model "tiny-synthetic" knows those of "small".

  Returns:
    Raw counts in `X`; planted regions in `obs["leaf"]`, which lie in those of `obs["compartment"]`;
    how far each gene program is on in `obsm["planted_programs"]`; its genes in `uns["planted"]`.

  Raises:
    BadInputError: no such preset, or a seed below 0.

  Examples:
    >>> import hibio
    >>> section = hibio.synthetic_section(preset="tiny")
    >>> section.shape, section.obs["compartment"].nunique()
    ((103, 471), 3)
  """
  from hibio import tissue

  return tissue.synthetic_section(seed, preset)


def plot(adata: AnnData, names: str | Sequence[str], *, section: str | None = None) -> Figure:
  """Maps over the tissue, one for each name; a row of them for each section.

  Args:
    adata: positions in `obsm["spatial"]`; the image, if any, in `uns["spatial"]`.
    names: columns of `obs` such as "hibio_domain_1", genes, pathways (columns of a table in
      `obsm`), or "H&E" for the tissue alone.
    section: draw this one only, by its name in `obs["library_id"]`.

  Returns:
    The figure: a notebook shows it where it is the last line of a cell; `.savefig(...)` keeps it.

  Raises:
    BadInputError: nothing of that name.

  Examples:
    >>> import hibio
    >>> figure = hibio.plot(hibio.synthetic_section(preset="tiny"), ["H&E", "leaf", "GLANDULAR1"])
    >>> [axis.get_title() for axis in figure.axes[:3]]
    ['H&E', 'leaf', 'GLANDULAR1']
  """
  from hibio import plotting

  return plotting.plot(adata, names, section=section)


def __getattr__(name: str) -> str:
  if name == "__version__":
    return _version()
  raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _version() -> str:
  """Of the installed package, else as the checkout's pyproject.toml has it."""
  import importlib.metadata
  import tomllib
  from pathlib import Path

  try:
    return importlib.metadata.version("hibio-st")
  except importlib.metadata.PackageNotFoundError:
    project = Path(__file__).resolve().parents[1] / "pyproject.toml"
    return tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"]
