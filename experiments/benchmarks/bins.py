"""Does preparing a slide of Visium HD stay within memory? Peak for N bins, and for a quarter.

  python -m experiments.benchmarks.bins --bins=500000

Makes outputs of Space Ranger with bins of 8 um, on tissue of made-up programs, and prepares each in
a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from PIL import Image

from data_pipelines import entry

FLAGS = entry.Flags(__doc__)
_BINS = FLAGS.integer("bins", 500_000, "Bins of the larger slide")
_GENES = FLAGS.integer("genes", 18_000, "Genes of the matrix")
_COUNTS = FLAGS.integer("counts", 60, "Counts of a bin, in the mean")
_PITCH_UM = FLAGS.float("pitch_um", None, "Pool them to squares of this side")
_FOLDER = FLAGS.string("folder", None, "Where the files are made; default: a temporary one")

BIN_UM, UM_PER_PX, HIRES = 8.0, 0.5, 0.08
_PIECE = 20_000
_PROGRAMS = 8


def main() -> None:
  with tempfile.TemporaryDirectory(dir=_FOLDER.value) as folder:
    work = Path(folder)
    for bins in (_BINS.value // 4, _BINS.value):
      side = round(np.sqrt(bins))
      size = write(work / str(side), side, _GENES.value, _COUNTS.value)
      seconds, peak = _prepare(work / str(side), work / f"{side}-corpus")
      print(
        f"{side * side:>9,} bins, {size / 1e6:,.0f} MB of counts: {seconds:.0f} s, "
        f"peak {peak / 1e6:,.0f} MB",
        flush=True,
      )


def write(folder: Path, side: int, genes: int, counts: int) -> int:
  """A square slide of `side` bins across, of `counts` in the mean; returns the matrix's size."""
  place = folder / "outs" / "binned_outputs" / "square_008um"
  (place / "spatial").mkdir(parents=True)
  rows, columns = np.divmod(np.arange(side * side), side)
  names = [
    f"s_008um_{r:05d}_{c:05d}-1" for r, c in zip(rows.tolist(), columns.tolist(), strict=True)
  ]
  pd.DataFrame(
    {
      "barcode": names,
      "in_tissue": 1,
      "array_row": rows,
      "array_col": columns,
      "pxl_row_in_fullres": (rows + 0.5) * BIN_UM / UM_PER_PX,
      "pxl_col_in_fullres": (side - columns - 0.5) * BIN_UM / UM_PER_PX,
    }
  ).to_parquet(place / "spatial" / "tissue_positions.parquet")
  factors = {
    "bin_size_um": BIN_UM,
    "microns_per_pixel": UM_PER_PX,
    "spot_diameter_fullres": BIN_UM / UM_PER_PX,
    "tissue_hires_scalef": HIRES,
  }
  (place / "spatial" / "scalefactors_json.json").write_text(json.dumps(factors))
  _write_image(place / "spatial" / "tissue_hires_image.png", side)
  programs = (rows * _PROGRAMS // side + columns * 3 // side) % _PROGRAMS
  return _write_counts(place / "filtered_feature_bc_matrix.h5", names, programs, genes, counts)


def _write_image(path: Path, side: int) -> None:
  px = round(side * BIN_UM / UM_PER_PX * HIRES)
  rng = np.random.default_rng(0)
  colour = np.array([200, 130, 180]) + rng.normal(0, 12, (px, px, 3))
  Image.fromarray(np.clip(colour, 0, 255).astype(np.uint8)).save(path)


def _write_counts(
  path: Path, names: list[str], programs: np.ndarray, genes: int, counts: int
) -> int:
  """Counts drawn from programs that take turns across the tissue."""
  rng = np.random.default_rng(0)
  common = rng.pareto(1.0, genes) + 0.05
  shares = common * rng.gamma(0.5, 2.0, (_PROGRAMS, genes))
  ends = np.cumsum(shares / shares.sum(axis=1, keepdims=True), axis=1)
  depths = 1 + rng.poisson(rng.gamma(2.0, (counts - 1) / 2, len(names)))
  with h5py.File(path, "w") as file:
    group = file.create_group("matrix")
    group["barcodes"] = np.array(names, "S")
    group["shape"] = np.array([genes, len(names)])
    group["features/id"] = np.array([f"ENSG{n:011d}" for n in range(genes)], "S")
    group["features/name"] = np.array([f"GENE{n}" for n in range(genes)], "S")
    group["features/feature_type"] = np.array(["Gene Expression"] * genes, "S")
    chunks = {
      "maxshape": (None,),
      "chunks": (1 << 18,),
      "compression": "gzip",
      "compression_opts": 1,
    }
    data = group.create_dataset("data", (0,), np.int32, **chunks)
    indices = group.create_dataset("indices", (0,), np.int64, **chunks)
    lengths = []
    for start in range(0, len(names), _PIECE):
      here = slice(start, start + _PIECE)
      keys = [
        np.searchsorted(ends[p], rng.random(depth)) + genes * n
        for n, (p, depth) in enumerate(zip(programs[here].tolist(), depths[here], strict=True))
      ]
      found, count = np.unique(
        np.minimum(np.concatenate(keys), genes * len(keys) - 1), return_counts=True
      )
      lengths.append(np.bincount(found // genes, minlength=len(keys)))
      for dataset, values in ((data, count), (indices, found % genes)):
        dataset.resize(len(dataset) + len(values), axis=0)
        dataset[-len(values) :] = values
    group["indptr"] = np.r_[0, np.cumsum(np.concatenate(lengths))]
  return path.stat().st_size


def _prepare(folder: Path, corpus: Path) -> tuple[float, int]:
  """(seconds, peak resident bytes) of the command."""
  start = time.monotonic()
  command = [
    sys.executable, "-m", "data_pipelines.prepare", f"--input={folder}", f"--output={corpus}",
    "--test_donors=", "--validation_donors=", "--max_genes=2000", "--jobs=1",
  ]  # fmt: skip
  if _PITCH_UM.value is not None:
    command.append(f"--pitch_um={_PITCH_UM.value:g}")
  process = subprocess.Popen(command)
  _, status, usage = os.wait4(process.pid, 0)
  if os.waitstatus_to_exitcode(status):
    raise SystemExit("prepare failed")
  return time.monotonic() - start, usage.ru_maxrss * 1024


if __name__ == "__main__":
  entry.run(main, FLAGS)
