"""Writes one section as the folder that 10x Space Ranger writes, always with the same bytes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import h5py
import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image

from data_pipelines.section import VISIUM_SPOT_UM
from data_pipelines.synthetic.anatomy import Lattice
from data_pipelines.synthetic.presets import stream

_COLUMNS = (
  "barcode",
  "in_tissue",
  "array_row",
  "array_col",
  "pxl_row_in_fullres",
  "pxl_col_in_fullres",
)
_FIDUCIAL_DIAMETER_UM = 105.0
_LOWRES_PX = 300


def barcodes(spots: int) -> np.ndarray:
  """Barcodes of an array's positions: the same on every slide, as on real arrays."""
  letters = stream(0, "barcodes").integers(0, 4, (spots, 16))
  names = ["".join("ACGT"[n] for n in row) + "-1" for row in letters]
  return np.array(names)


def write_matrix(
  path: Path,
  counts: Int[np.ndarray, "spot gene"],
  spot_barcodes: np.ndarray,
  gene_ids: np.ndarray,
  symbols: np.ndarray,
) -> None:
  """A feature-barcode matrix with the keys of Space Ranger 3: features x barcodes, by column."""
  by_barcode = np.argsort(spot_barcodes)
  matrix = scipy.sparse.csc_matrix(counts[by_barcode].T)
  matrix.sort_indices()
  text = lambda values: np.asarray(values, dtype="S")  # noqa: E731
  with h5py.File(path, "w") as file:
    file.attrs["filetype"], file.attrs["version"] = "matrix", 2
    group = file.create_group("matrix")
    arrays = {
      "barcodes": text(spot_barcodes[by_barcode]),
      "data": matrix.data.astype(np.int32),
      "indices": matrix.indices.astype(np.int64),
      "indptr": matrix.indptr.astype(np.int64),
      "features/id": text(gene_ids),
      "features/name": text(symbols),
      "features/feature_type": text(["Gene Expression"] * len(gene_ids)),
      "features/genome": text(["synthetic"] * len(gene_ids)),
      "features/_all_tag_keys": text(["genome"]),
    }
    for name, values in arrays.items():
      group.create_dataset(name, data=values, compression="gzip", shuffle=True, track_times=False)
    group.create_dataset("shape", data=np.array(matrix.shape, np.int32), track_times=False)


def write_positions(
  path: Path,
  lattice: Lattice,
  spot_barcodes: np.ndarray,
  in_tissue: Bool[np.ndarray, " spot"],
  centres_px: Float[np.ndarray, "spot 2"],
  header: bool,
) -> None:
  """The positions table: with a header as from Space Ranger 2 on, or without as before."""
  with path.open("w", newline="", encoding="utf-8") as file:
    table = csv.writer(file, lineterminator="\n")
    if header:
      table.writerow(_COLUMNS)
    for n, barcode in enumerate(spot_barcodes):
      x, y = np.rint(centres_px[n]).astype(int)
      table.writerow([barcode, int(in_tissue[n]), lattice.row[n], lattice.column[n], y, x])


def write_images(
  folder: Path, pixels: UInt8[np.ndarray, "height width 3"], um_per_px: float
) -> None:
  """The two reduced images and the factors that lead to them."""
  full = Image.fromarray(pixels)
  longest = max(full.size)
  factors = {
    "spot_diameter_fullres": VISIUM_SPOT_UM / um_per_px,
    "fiducial_diameter_fullres": _FIDUCIAL_DIAMETER_UM / um_per_px,
  }
  for name, target in (("hires", longest // 2), ("lowres", min(_LOWRES_PX, longest // 4))):
    small = full.copy()
    small.thumbnail((target, target), Image.Resampling.BOX, reducing_gap=None)
    small.save(folder / f"tissue_{name}_image.png", optimize=False, compress_level=6)
    factors[f"tissue_{name}_scalef"] = max(small.size) / longest
  text = json.dumps(factors, indent=1, sort_keys=True)
  (folder / "scalefactors_json.json").write_text(text + "\n", encoding="utf-8")
