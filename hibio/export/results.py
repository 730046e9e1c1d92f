"""Where results go while they are computed: into an AnnData in memory, or straight into a file.

Their names, one place, so that all of them can be removed:

X_hibio          the spot in the shared space: the unit-norm mean of its image and gene embedding
X_hibio_image    unit-norm image embedding
X_hibio_gene     unit-norm gene embedding
hibio_pathways   table: cosine of the spot and each pathway's anchor, a column a pathway
hibio_predicted  expression as it is predicted from the image; a column for each of
                 `uns["hibio"]["predicted_genes"]`. By a readout that is stored with the checkpoint
                 in log1p of counts per 10,000; by the model's head standardised in its section
hibio_predicted_sd  standard deviation of that over readouts fitted without some training sections
hibio_log1p_cp10k  layer: the same in log1p of counts per 10,000, whatever predicted it, so that
                 sections can be compared; NaN for genes that the model does not know
hibio_sees       what the model had of the spot itself (see `SEES_VALUES`)
hibio_padded, hibio_inked, hibio_blurred, hibio_blank  what is wrong with the patch under a spot, as
                 far as pixels tell (`data_pipelines.patch_quality`)
hibio_domain     kind of tissue; one name is one kind in all sections of a call (see `domains`)
hibio_domain_1   region of the spot at each level, finest first; contiguous and nested, of one
                 section. Column domains_from of the table of sections says what it was drawn from

A row of zeros among embeddings, and of NaN among scores, means that nothing is known of the spot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import h5py
import numpy as np
import pandas as pd

from data_pipelines import files
from data_pipelines.section import FLAGS

FUSED, IMAGE, GENE = "X_hibio", "X_hibio_image", "X_hibio_gene"
PATHWAYS, PREDICTED, PREDICTED_SD = "hibio_pathways", "hibio_predicted", "hibio_predicted_sd"
LOG1P = "hibio_log1p_cp10k"
SEES, UNS = "hibio_sees", "hibio"
PATCH_FLAGS = tuple(f"hibio_{flag}" for flag in FLAGS)
KIND, DOMAIN = "hibio_domain", "hibio_domain_"
STABILITY = "domain_stability"
"""Entry of `uns["hibio"]`: how well each number of domains is found again."""

SEES_VALUES = ("both", "image", "gene", "neighbours", "nothing")
"""Its patch and its counts; one of them; neither, but neighbours of which something is known; or
nothing at all."""

OBSM = (FUSED, IMAGE, GENE, PATHWAYS, PREDICTED, PREDICTED_SD)
LAYERS = (LOG1P,)
_UNKNOWN_IS_NAN = (PATHWAYS, PREDICTED, PREDICTED_SD, LOG1P)

STORED = "stored readout: log1p of counts per 10,000"
HEAD = "model's head: standardised in the section"
"""What predicted a section's expression, and in which units: `predicted_by` in its line."""


Column = pd.Categorical | np.ndarray
"""Of `obs`: categories, or a flag for each spot."""


def is_ours(group: str, name: str) -> bool:
  """Whether an entry of `obs`, `obsm`, `layers` or `uns` is one of these."""
  if group == "obs":
    return name in (SEES, KIND, *PATCH_FLAGS) or name.startswith(DOMAIN)
  return name in {"obsm": OBSM, "layers": LAYERS, "uns": (UNS,)}[group]


def group_of(name: str) -> str:
  """Where a matrix lies: "layers", with a column for each gene of the AnnData, or "obsm"."""
  return "layers" if name in LAYERS else "obsm"


def column_names(names: Sequence[str]) -> list[str]:
  """Names that HDF5 can keep: it reads a slash as a folder, so that "A/B" becomes "A_B"."""
  safe: list[str] = []
  for name in names:
    name, number = name.replace("/", "_"), 2
    first = name
    while name in safe:
      name, number = f"{first} ({number})", number + 1
    safe.append(name)
  return safe


@runtime_checkable
class Results(Protocol):
  """What the embedding of sections writes to; rows come in any order, a few at a time.

  Attributes:
    genes: names of the AnnData's genes: the columns of a layer.
  """

  genes: Sequence[str]

  def add(self, name: str, width: int, columns: Sequence[str] | None = None) -> None:
    """Makes room in `obsm`, or in `layers`, for `width` numbers a spot.

    Args:
      columns: names of them, which makes it a table; filled with NaN until written, and not with 0.
    """
    ...

  def write(self, name: str, rows: np.ndarray, values: np.ndarray) -> None:
    """Puts rows into their places."""
    ...

  def finish(self, columns: Mapping[str, Column], about: Mapping[str, Any]) -> None:
    """Adds columns of `obs`, and the entry of `uns`."""
    ...


class InMemory:
  """Results in an AnnData object, put there at the end, all at once; earlier ones are replaced."""

  def __init__(self, adata: Any):
    self._adata, self.genes = adata, tuple(map(str, adata.var_names))
    self._matrices: dict[str, np.ndarray] = {}
    self._columns: dict[str, Sequence[str]] = {}

  def add(self, name: str, width: int, columns: Sequence[str] | None = None) -> None:
    fill = np.nan if name in _UNKNOWN_IS_NAN else 0.0
    self._matrices[name] = np.full((self._adata.n_obs, width), fill, np.float32)
    if columns is not None:
      self._columns[name] = columns

  def write(self, name: str, rows: np.ndarray, values: np.ndarray) -> None:
    self._matrices[name][rows] = values

  def finish(self, columns: Mapping[str, Column], about: Mapping[str, Any]) -> None:
    for group in ("obs", "obsm", "layers", "uns"):
      entries = getattr(self._adata, group)
      for name in [name for name in entries if is_ours(group, str(name))]:
        del entries[name]
    for name, values in self._matrices.items():
      if name in self._columns:
        values = pd.DataFrame(values, self._adata.obs_names, self._columns[name], copy=False)
      getattr(self._adata, group_of(name))[name] = values
    for name, values in columns.items():
      self._adata.obs[name] = values
    self._adata.uns[UNS] = dict(about)


class InFile:
  """Results in an .h5ad file that is open for writing; the rest of it is not touched."""

  def __init__(self, file: h5py.File, spots: int):
    from anndata.io import read_elem, write_elem  # two seconds

    self._file, self._spots, self._write_elem = file, spots, write_elem
    self.genes = tuple(map(str, pd.Index(read_elem(file["var"][file["var"].attrs["_index"]]))))
    for group in ("obsm", "layers", "uns"):
      if group not in file:
        write_elem(file, group, {})
      for name in [name for name in file[group] if is_ours(group, name)]:
        del file[group][name]
    for name in [name for name in file["obs"] if is_ours("obs", name)]:
      del file["obs"][name]
    self._set_order([name for name in self._order() if not is_ours("obs", name)])

  def add(self, name: str, width: int, columns: Sequence[str] | None = None) -> None:
    if columns is not None:
      self._add_table(name, columns)
      return
    fill = np.nan if name in _UNKNOWN_IS_NAN else 0.0
    dataset = self._file[group_of(name)].create_dataset(
      name, (self._spots, width), np.float32, fillvalue=fill
    )
    dataset.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})

  def _add_table(self, name: str, columns: Sequence[str]) -> None:
    """As anndata keeps a table, but its columns are not in memory first: HDF5 fills them itself."""
    from anndata.io import read_elem

    obs = self._file["obs"]
    index = pd.Index(read_elem(obs[obs.attrs["_index"]]))
    self._write_elem(self._file["obsm"], name, pd.DataFrame(index=index))
    table = self._file["obsm"][name]
    for column in columns:
      dataset = table.create_dataset(column, (self._spots,), np.float32, fillvalue=np.nan)
      dataset.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    table.attrs["column-order"] = np.array(list(columns), dtype=h5py.string_dtype())

  def write(self, name: str, rows: np.ndarray, values: np.ndarray) -> None:
    place = self._file[group_of(name)][name]
    if isinstance(place, h5py.Group):
      for column, numbers in zip(place.attrs["column-order"], values.T, strict=True):
        whole = place[column][:]
        whole[rows] = numbers
        place[column][:] = whole
      return
    order = np.argsort(rows)
    # One selection of all rows: row by row h5py takes ten times as long.
    place[rows[order]] = values[order]

  def finish(self, columns: Mapping[str, Column], about: Mapping[str, Any]) -> None:
    for name, values in columns.items():
      self._write_elem(self._file["obs"], name, values)
    self._set_order([*self._order(), *columns])
    self._write_elem(self._file["uns"], UNS, dict(about))

  def _order(self) -> list[str]:
    return [
      name.decode() if isinstance(name, bytes) else str(name)
      for name in self._file["obs"].attrs["column-order"]
    ]

  def _set_order(self, names: list[str]) -> None:
    self._file["obs"].attrs["column-order"] = np.array(names, dtype=h5py.string_dtype())


def about(
  checkpoint: Mapping[str, Any],
  sections: Sequence[Mapping[str, Any]],
  settings: Mapping[str, Any],
  pathways: Sequence[str],
  predicted_genes: Sequence[str] | None,
  reliability: Mapping[str, np.ndarray] | None = None,
  stability: pd.DataFrame | None = None,
) -> dict[str, Any]:
  """What `uns["hibio"]` says of where results come from.

  Plain values, arrays and one table, so that any version of anndata can store it.

  Args:
    checkpoint: name, step, panel and corpus of the model.
    sections: one row a section.
    settings: what was asked for; None is left out.
    predicted_genes: columns of `obsm["hibio_predicted"]`, if expression is predicted.
    reliability: column -> a value of each of these genes, where a readout is stored.
    stability: how well each number of domains is found again, where any are drawn.
  """
  table = pd.DataFrame(list(sections)).set_index("section")
  table.index = table.index.astype(str)
  text = {
    FUSED: "unit-norm mean of the image and gene embeddings that a spot has itself; where it "
    "has neither, of those read from its neighbours",
    SEES: ", ".join(SEES_VALUES),
    "unknown": "a row of zeros among embeddings, of NaN among scores: nothing is known of the spot",
  }
  found: dict[str, Any] = {
    "checkpoint": dict(checkpoint),
    "versions": files.versions(),
    "settings": {name: _plain(value) for name, value in settings.items() if value is not None},
    "sections": table,
    "reads": text,
  }
  if pathways:
    found["pathways"] = np.array(list(pathways), dtype=object)
    text[PATHWAYS] = (
      "cosine with the anchor of each of uns['hibio']['pathways'], from what column read_from of "
      "uns['hibio']['sections'] says; a slash in a name is written as _ in the column's. Compares "
      "spots of one section; not comparable between sections: stain and depth shift all of a "
      "section's cosines"
    )
  else:
    text[PATHWAYS] = "none: the checkpoint holds no gene sets"
  if predicted_genes is not None:
    found["predicted_genes"] = np.array(list(predicted_genes), dtype=object)
    text[PREDICTED] = (
      "a column for each of uns['hibio']['predicted_genes']; column predicted_by of "
      "uns['hibio']['sections'] says by what and in which units"
    )
    text[LOG1P] = (
      "layer of the same in log1p of counts per 10,000 over the model's panel, comparable between "
      "sections; the level of a gene is the section's own where its counts were given to the "
      "model's head, else that of the training sections"
    )
  if stability is not None:
    found[STABILITY] = stability
    text[KIND] = (
      "kind of tissue, in common to all sections of the call; uns['hibio']['domain_stability'] "
      "says how well each number of them is found again"
    )
  if reliability is not None:
    found["predicted_reliability"] = pd.DataFrame(reliability, index=list(predicted_genes))
    text["predicted_reliability"] = (
      "hibio_r, hibio_r_sd: correlation with what was measured in sections the readout had not "
      "seen, mean and standard deviation over them; hibio_ceiling: the correlation that a "
      "prediction without error would reach at the depth of the training counts"
    )
  return found


def _plain(value: Any) -> Any:
  if isinstance(value, tuple | list):
    return np.array(value)
  return value if isinstance(value, bool | int | float | str) else str(value)
