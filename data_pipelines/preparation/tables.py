"""The corpus' small tables, made from the finished sections: spots, statistics, gene sets, regions.

They are rebuilt whenever anything has changed: reading counts back takes seconds.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse
from jaxtyping import Float, Int

from data_pipelines.console import Progress
from data_pipelines.files import write_bytes
from data_pipelines.preparation import manifest, regions, shards, spatial_genes, statistics
from data_pipelines.preparation.section_folder import MEASURED, SPOTS
from data_pipelines.preparation.workers import Each
from data_pipelines.section import FLAGS

TABLES_VERSION = 7
"""Raised when the same sections would give other tables; finished sections are then kept."""

_ROWS = 256
"""Of a sparse table, made dense at a time."""

_FIXED = (
  "spot_index", "section_id", "spot_id", "x_um", "y_um", "x_px", "y_px", "array_row",
  "array_col", "window", "total_counts", *FLAGS,
)  # fmt: skip


def write_tables(
  corpus: Path,
  entries: Sequence[Mapping[str, Any]],
  membership: scipy.sparse.csr_matrix,
  gene_set_names: Sequence[str],
  region_um: Sequence[float],
  each: Each,
) -> dict[str, list[str]]:
  """Writes every table of the corpus.

  Args:
    entries: the manifest's entries, with splits, in the order of the corpus.
    membership: genes of each gene set, `[pathway, gene]`.
    region_um: side of a region at each level, finest first.

  Returns:
    Label -> its classes, in the order of their names.
  """
  progress = Progress("prepare: tables", len(entries), "sections", every_seconds=0)
  calls = ((corpus / "windows" / entry["section_id"], membership, region_um) for entry in entries)
  found: list[_Section] = []
  for entry, own in zip(entries, each(_tables_of, calls), strict=True):
    found.append(own)
    progress.add(note=f"{entry['section_id']}: {len(own.spots):,} spots")
  tables = [section.table for section in found]
  training = np.array([entry["split"] == "train" for entry in entries])
  measured = np.stack([table.measured for table in tables])
  patterned = np.stack([section.excess for section in found])
  _arrays(
    corpus / manifest.STATISTICS,
    {
      **statistics.corpus_statistics(tables, training),
      "corpus_spatial": spatial_genes.over_sections(patterned, measured, training),
      spatial_genes.EXCESS: patterned,
    },
  )
  names = np.array(list(gene_set_names), dtype=str)
  _arrays(corpus / manifest.GENE_SETS, {"membership": membership, "names": names})
  _arrays(corpus / manifest.FIRST_REGIONS, {"regions": regions.stacked([s.levels for s in found])})
  whole = _one_table([section.spots for section in found])
  buffer = io.BytesIO()
  whole.to_parquet(buffer, index=False)
  write_bytes(corpus / manifest.SPOTS, buffer.getvalue())
  return {name: sorted(set(whole[name]) - {""}) for name in whole.columns if name not in _FIXED}


class _Section(NamedTuple):
  """What the tables hold of one section."""

  spots: pd.DataFrame
  table: statistics.SectionTable
  excess: Float[np.ndarray, " gene"]
  levels: Int[np.ndarray, "level spot"]


def _tables_of(
  folder: Path, membership: scipy.sparse.csr_matrix, region_um: Sequence[float]
) -> _Section:
  counts = shards.StoredWindows(folder, membership.shape[1]).counts()
  spots = pd.read_parquet(folder / SPOTS).assign(section_id=folder.name)
  positions_um = spots[["x_um", "y_um"]].to_numpy()
  features = regions.expression_features(statistics.log_expression(counts))
  return _Section(
    spots,
    statistics.section_table(counts, np.load(folder / MEASURED), membership),
    spatial_genes.spatial_excess(counts, positions_um),
    regions.nested_regions(features, positions_um, regions.spots_of_side(region_um, positions_um)),
  )


def _one_table(spots: Sequence[pd.DataFrame]) -> pd.DataFrame:
  whole = pd.concat(spots, ignore_index=True)
  labels = [name for name in whole.columns if name not in _FIXED]
  whole[labels] = whole[labels].fillna("").astype(str)
  whole.insert(0, "spot_index", np.arange(len(whole), dtype=np.int64))
  return whole[[*_FIXED, *sorted(labels)]]


def _arrays(path: Path, arrays: Mapping[str, np.ndarray | scipy.sparse.csr_matrix]) -> None:
  """As `np.savez_compressed` writes them; sparse ones dense, a few rows in memory at a time."""
  buffer = io.BytesIO()
  with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as inside:
    for name, array in arrays.items():
      with inside.open(f"{name}.npy", "w", force_zip64=True) as file:
        if not scipy.sparse.issparse(array):
          np.lib.format.write_array(file, array, allow_pickle=False)
          continue
        shape = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
        np.lib.format.write_array_header_1_0(file, shape)
        for start in range(0, array.shape[0], _ROWS):
          file.write(array[start : start + _ROWS].toarray().tobytes())
  write_bytes(path, buffer.getvalue())
