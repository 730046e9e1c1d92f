"""Where results go while they are computed: into an AnnData in memory, or straight into a file.

Both take rows of a matrix in any order, a few at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import h5py
import numpy as np
import pandas as pd

from hibio.export import keys

Place = tuple[str, str]
"""Group and name, e.g. ("obsm", "X_hibio")."""


@runtime_checkable
class Results(Protocol):
  """What the embedding of sections writes to."""

  def add(self, place: Place, width: int, fill: float) -> None:
    """Makes room for a row of `width` numbers for each spot."""
    ...

  def write(self, place: Place, rows: np.ndarray, values: np.ndarray) -> None:
    """Puts rows into their places."""
    ...

  def finish(self, columns: Mapping[str, pd.Categorical], about: Mapping[str, Any]) -> None:
    """Adds columns of `obs`, and the entry of `uns`."""
    ...


class InMemory:
  """Results in an AnnData object, put there at the end, all at once; earlier ones are replaced."""

  def __init__(self, adata: Any):
    self._adata = adata
    self._matrices: dict[Place, np.ndarray] = {}

  def add(self, place: Place, width: int, fill: float) -> None:
    self._matrices[place] = np.full((self._adata.n_obs, width), fill, np.float32)

  def write(self, place: Place, rows: np.ndarray, values: np.ndarray) -> None:
    self._matrices[place][rows] = values

  def finish(self, columns: Mapping[str, pd.Categorical], about: Mapping[str, Any]) -> None:
    for group in ("obs", "obsm", "layers", "uns"):
      entries = getattr(self._adata, group)
      for name in [name for name in entries if keys.is_ours(group, str(name))]:
        del entries[name]
    for (group, name), values in self._matrices.items():
      getattr(self._adata, group)[name] = values
    for name, values in columns.items():
      self._adata.obs[name] = values
    self._adata.uns[keys.UNS] = dict(about)


class InFile:
  """Results in an .h5ad file that is open for writing; the rest of it is not touched."""

  def __init__(self, file: h5py.File, spots: int):
    from anndata.io import write_elem  # two seconds

    self._file, self._spots, self._write_elem = file, spots, write_elem
    for group in ("obsm", "layers", "uns"):
      if group not in file:
        write_elem(file, group, {})
      for name in [name for name in file[group] if keys.is_ours(group, name)]:
        del file[group][name]
    for name in [name for name in file["obs"] if keys.is_ours("obs", name)]:
      del file["obs"][name]
    self._set_order([name for name in self._order() if not keys.is_ours("obs", name)])

  def add(self, place: Place, width: int, fill: float) -> None:
    group, name = place
    # A layer is as wide as all genes and mostly empty: a spot is one packed chunk.
    packed = {"chunks": (1, max(width, 1)), "compression": "gzip", "compression_opts": 1}
    dataset = self._file[group].create_dataset(
      name,
      (self._spots, width),
      np.float32,
      fillvalue=fill,
      **(packed if group == "layers" else {}),
    )
    dataset.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})

  def write(self, place: Place, rows: np.ndarray, values: np.ndarray) -> None:
    order = np.argsort(rows)
    # One selection of all rows: row by row h5py takes ten times as long.
    self._file["/".join(place)][rows[order]] = values[order]

  def finish(self, columns: Mapping[str, pd.Categorical], about: Mapping[str, Any]) -> None:
    for name, values in columns.items():
      self._write_elem(self._file["obs"], name, values)
    self._set_order([*self._order(), *columns])
    self._write_elem(self._file["uns"], keys.UNS, dict(about))

  def _order(self) -> list[str]:
    return [
      name.decode() if isinstance(name, bytes) else str(name)
      for name in self._file["obs"].attrs["column-order"]
    ]

  def _set_order(self, names: list[str]) -> None:
    self._file["obs"].attrs["column-order"] = np.array(names, dtype=h5py.string_dtype())
