"""Does embedding need more memory for more spots? Peak and rate for N spots and for a quarter.

  python -m experiments.benchmarks.embed_memory --spots=100000 --checkpoint=WORKDIR

Makes .h5ad files of random counts, a section every 5,000 spots, rows in random order as barcodes
give it, and embeds each in a process of its own. Without --checkpoint the test variant is trained
first. With --image every section also has a picture.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from anndata.io import write_elem

from data_pipelines import entry
from data_pipelines.genes import GenePanel

FLAGS = entry.Flags(__doc__)
_SPOTS = FLAGS.integer("spots", 100_000, "Spots of the larger file")
_GENES = FLAGS.integer("genes", 1_000, "Genes of the files")
_SECTION_SPOTS = FLAGS.integer("section_spots", 5_000, "Spots of a section")
_DETECTED = FLAGS.integer("detected", 300, "Genes detected in a spot")
_IMAGE = FLAGS.bool("image", False, "Give every section a picture of 2 million pixels")
_PREDICT = FLAGS.bool("predict_expression", False, "Also predict expression")
_CHECKPOINT = FLAGS.string("checkpoint", None, "Work directory of a pretraining run")
_FOLDER = FLAGS.string("folder", None, "Where the files are made; default: a temporary one")

PITCH_UM, UM_PER_PX, HIRES = 100.0, 1.0, 0.2
_PIECE = 2_000


def main() -> None:
  with tempfile.TemporaryDirectory(dir=_FOLDER.value) as folder:
    work = Path(folder)
    checkpoint = Path(_CHECKPOINT.value) if _CHECKPOINT.value else _trained(work)
    panel = GenePanel.load(checkpoint / "panel.tsv")
    sizes = (_SPOTS.value // 4, _SPOTS.value)
    peaks = []
    for spots in sizes:
      source = work / f"{spots}.h5ad"
      write(source, spots, panel)
      rate, seconds, peak = _embed(checkpoint, source, work / "out.h5ad")
      peaks.append(peak)
      print(
        f"{spots:>9,} spots, {source.stat().st_size / 1e6:,.0f} MB in: {rate:,.0f} spots/s, "
        f"{seconds:.0f} s with start, peak {peak / 1e6:,.0f} MB",
        flush=True,
      )
      source.unlink()
    print(
      f"peak of {sizes[1]:,} over peak of {sizes[0]:,} spots: {peaks[1] / peaks[0]:.2f} "
      f"({(peaks[1] - peaks[0]) / (sizes[1] - sizes[0]):,.0f} bytes a spot)"
    )


def write(path: Path, spots: int, panel: GenePanel) -> None:
  """An .h5ad file of random counts, written piece by piece."""
  rng = np.random.default_rng(0)
  genes = _GENES.value
  names = [*panel.ids[:genes], *(f"OTHER{n}" for n in range(genes - len(panel)))]
  sections = -(-spots // _SECTION_SPOTS.value)
  section = np.arange(spots) // _SECTION_SPOTS.value
  row, column = _lattice(np.concatenate([
    rng.permutation(np.bincount(section)[number]) for number in range(sections)
  ]), int(np.ceil(np.sqrt(_SECTION_SPOTS.value))))  # fmt: skip
  centres = PITCH_UM / UM_PER_PX * np.stack([column / 2 + 1, row * np.sqrt(0.75) + 1], 1)
  obs = pd.DataFrame(
    {
      "library_id": pd.Categorical([f"S{number}" for number in section]),
      "array_row": row,
      "array_col": column,
    },
    index=pd.Index([f"spot{n}" for n in range(spots)]),
  )
  with h5py.File(path, "w") as file:
    file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    write_elem(file, "obs", obs)
    write_elem(file, "var", pd.DataFrame(index=pd.Index(names)))
    write_elem(file, "obsm", {"spatial": centres})
    libraries = {}
    if _IMAGE.value:
      side = int(centres.max() * HIRES) + 20
      picture = rng.integers(90, 255, (side, side, 3), np.uint8)
      libraries = {
        f"S{number}": {
          "images": {"hires": picture}, "scalefactors": {"tissue_hires_scalef": HIRES}
        }
        for number in range(sections)
      }  # fmt: skip
    write_elem(file, "uns", {"spatial": libraries})
    group = file.create_group("X")
    group.attrs.update(
      {"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": [spots, len(names)]}
    )
    stored = _DETECTED.value * spots
    for name in ("data", "indices"):
      group.create_dataset(name, (stored,), np.int32, chunks=(100_000,), compression="lzf")
    group["indptr"] = np.arange(spots + 1, dtype=np.int64) * _DETECTED.value
    for start in range(0, spots, _PIECE):
      size = min(_PIECE, spots - start)
      keys = rng.random((size, len(names)))
      found = np.sort(np.argpartition(keys, _DETECTED.value, 1)[:, : _DETECTED.value], 1)
      part = slice(start * _DETECTED.value, (start + size) * _DETECTED.value)
      group["indices"][part] = found.ravel()
      group["data"][part] = rng.geometric(0.4, found.size)


def _lattice(number: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
  row, column = np.divmod(number, side)
  return row, 2 * column + row % 2


def _trained(work: Path) -> Path:
  """The test variant, trained in seconds."""
  subprocess.run(
    [sys.executable, "-m", "experiments.pretrain", "--config=experiments/hibio.py:test",
     f"--config.workdir={work / 'run'}"],
    check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
  )  # fmt: skip
  return work / "run"


def _embed(checkpoint: Path, source: Path, output: Path) -> tuple[float, float, int]:
  """(spots a second, seconds in all, peak resident bytes) of the command."""
  start = time.monotonic()
  command = [
    sys.executable, "-m", "experiments.embed", f"--checkpoint={checkpoint}", f"--input={source}",
    f"--output={output}", "--overwrite", f"--predict_expression={_PREDICT.value}",
  ]  # fmt: skip
  with (output.parent / "log.txt").open("w+") as log:
    process = subprocess.Popen(command, stdout=log, stderr=log)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    log.seek(0)
    said = log.read()
  if process.returncode:
    raise RuntimeError(said[-2000:])
  rate = float(re.findall(r"([\d,.]+) a second\n", said)[-1].replace(",", ""))
  return rate, time.monotonic() - start, usage.ru_maxrss * 1024


if __name__ == "__main__":
  entry.run(main, FLAGS)
