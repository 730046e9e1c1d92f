"""Small folders as platforms write them, with a known truth, for the tests of the readers."""

import dataclasses
import gzip
import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import scipy.io
import scipy.sparse
from PIL import Image

PX_PER_UM = 0.5
HIRES = 0.2
LOWRES = 0.06


def textured(width, height):
  """Grey noise: an image of no particular tissue, and not a blank one."""
  noise = Image.effect_noise((width // 16 + 1, height // 16 + 1), 60)
  return noise.convert("RGB").resize((width, height), Image.Resampling.NEAREST)


@dataclasses.dataclass
class Visium:
  """A Space Ranger folder and what was put into it; spots beside the tissue come last."""

  folder: Path
  barcodes: list
  counts: np.ndarray
  gene_ids: list
  symbols: list
  rows: np.ndarray
  columns: np.ndarray
  x_px: np.ndarray
  y_px: np.ndarray
  in_tissue: np.ndarray
  width: int
  height: int

  def write_h5(self, file_name="filtered_feature_bc_matrix.h5", **changed):
    """Replaces the matrix; `changed` are arrays of the HDF5 file."""
    on = self.in_tissue.astype(bool) if file_name.startswith("filtered") else slice(None)
    matrix = scipy.sparse.csc_matrix(self.counts[on].T)
    barcodes = np.array(self.barcodes)[on].tolist()
    arrays = {
      "data": matrix.data.astype(np.int32),
      "indices": matrix.indices.astype(np.int64),
      "indptr": matrix.indptr.astype(np.int64),
      "shape": np.array(matrix.shape, np.int32),
      "barcodes": barcodes,
    }
    features = {
      "id": self.gene_ids,
      "name": self.symbols,
      "feature_type": ["Gene Expression"] * len(self.gene_ids),
    }
    with h5py.File(self.folder / file_name, "w") as file:
      group = file.create_group("matrix")
      for key, value in (arrays | {k: v for k, v in changed.items() if k in arrays}).items():
        group[key] = _for_hdf5(value)
      for key, value in (features | {k: v for k, v in changed.items() if k in features}).items():
        group[f"features/{key}"] = _for_hdf5(value)

  def write_matrix_market(
    self, name="filtered_feature_bc_matrix", *, packed=True, transposed=False
  ):
    """Adds the matrix as three text files."""
    on = self.in_tissue.astype(bool) if name.startswith("filtered") else slice(None)
    folder = self.folder / name
    folder.mkdir()
    matrix = scipy.sparse.coo_matrix(self.counts[on] if transposed else self.counts[on].T)
    scipy.io.mmwrite(folder / "matrix.mtx", matrix, field="integer", symmetry="general")
    genes = zip(self.gene_ids, self.symbols, strict=True)
    features = "".join(f"{i}\t{s}\tGene Expression\n" for i, s in genes)
    (folder / "features.tsv").write_text(features)
    (folder / "barcodes.tsv").write_text("\n".join(np.array(self.barcodes)[on].tolist()) + "\n")
    if packed:
      for path in list(folder.iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()

  def position_lines(self):
    """Lines of the positions file: the pixel row, y, comes before the column, x."""
    return [
      f"{b},{t},{r},{c},{y},{x}"
      for b, t, r, c, y, x in zip(
        self.barcodes, self.in_tissue, self.rows, self.columns, self.y_px, self.x_px, strict=True
      )
    ]

  def write_positions(self, name="tissue_positions.csv", *, header=True, lines=None):
    """Replaces the positions file."""
    for path in (self.folder / "spatial").glob("tissue_positions*"):
      path.unlink()
    names = "barcode,in_tissue,array_row,array_col,pxl_row_in_fullres,pxl_col_in_fullres"
    lines = self.position_lines() if lines is None else lines
    text = "\n".join([names, *lines] if header else lines) + "\n"
    (self.folder / "spatial" / name).write_text(text)

  def write_parquet(self, **changed):
    """Replaces the positions file by the one of Visium HD; `changed` are columns of it."""
    columns = {
      "barcode": self.barcodes,
      "in_tissue": self.in_tissue,
      "array_row": self.rows,
      "array_col": self.columns,
      "pxl_row_in_fullres": self.y_px,
      "pxl_col_in_fullres": self.x_px,
    } | changed
    pd.DataFrame(columns).to_parquet(self.folder / "spatial" / "tissue_positions.parquet")

  def write_scalefactors(self, **changed):
    """Replaces scalefactors_json.json; a value of None leaves the key out."""
    factors = {
      "tissue_hires_scalef": HIRES,
      "tissue_lowres_scalef": LOWRES,
      "spot_diameter_fullres": 65 * PX_PER_UM,
      "fiducial_diameter_fullres": 105 * PX_PER_UM,
    } | changed
    factors = {key: value for key, value in factors.items() if value is not None}
    (self.folder / "spatial" / "scalefactors_json.json").write_text(json.dumps(factors))

  def write_image(self, name, scale=1.0):
    """An image of the whole slide at `scale` pixels per full-size pixel; every pixel differs."""
    size = round(self.height * scale), round(self.width * scale)
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    path = self.folder / name
    Image.fromarray(noise).save(path)
    return path


def visium(folder: Path, *, side=8, genes=30, species="human", seed=0) -> Visium:
  """Writes `folder` as Space Ranger 2 writes `outs`, without the full-size image."""
  rng = np.random.default_rng(seed)
  rows, columns = np.divmod(np.arange(side * side), side)
  columns = 2 * columns + rows % 2
  spots = len(rows)
  x = (300 + 50 * columns) * PX_PER_UM
  y = (200 + 100 * np.sqrt(0.75) * rows) * PX_PER_UM
  prefix = "ENSG" if species == "human" else "ENSMUSG"
  names = [f"GENE{n}" if species == "human" else f"Gene{n}" for n in range(genes)]
  sample = Visium(
    folder=folder,
    barcodes=["".join(rng.choice(list("ACGT"), 16)) + "-1" for _ in range(spots)],
    counts=rng.poisson(1.0, (spots, genes)) + np.eye(spots, genes, dtype=np.int64),
    gene_ids=[f"{prefix}{n:011d}" for n in range(genes)],
    symbols=names,
    rows=rows,
    columns=columns,
    x_px=x,
    y_px=y,
    in_tissue=(np.arange(spots) < spots - side).astype(int),
    width=int(x.max() + 200),
    height=int(y.max() + 100),
  )
  (folder / "spatial").mkdir(parents=True)
  sample.counts[:, 0] += 1
  sample.write_h5()
  sample.write_positions()
  sample.write_scalefactors()
  sample.write_image("spatial/tissue_hires_image.png", HIRES)
  sample.write_image("spatial/tissue_lowres_image.png", LOWRES)
  return sample


def visium_hd(folder: Path, *, side=48, bins_um=(2, 8, 16), genes=25, seed=0) -> dict[int, Visium]:
  """Writes `folder/binned_outputs` with bins of each width, all of the same counts of bins of 2 um.

  The slide is turned a little; bins of the last rows lie beside the tissue.
  """
  rng = np.random.default_rng(seed)
  finest = rng.poisson(0.3, (side, side, genes))
  turn = np.deg2rad(2)
  made = {}
  for um in bins_um:
    across = um // 2
    wide = side // across
    counts = finest.reshape(wide, across, wide, across, genes).sum((1, 3))
    rows, columns = np.divmod(np.arange(wide * wide), wide)
    place_um = (np.stack([columns, wide - 1 - rows], 1) + 0.5) * um
    x = (place_um @ [np.cos(turn), -np.sin(turn)] + 20) * 2 * PX_PER_UM
    y = (place_um @ [np.sin(turn), np.cos(turn)] + 20) * 2 * PX_PER_UM
    sample = Visium(
      folder=folder / "binned_outputs" / f"square_{um:03d}um",
      barcodes=[f"s_{um:03d}um_{r:05d}_{c:05d}-1" for r, c in zip(rows, columns, strict=True)],
      counts=counts.reshape(-1, genes),
      gene_ids=[f"ENSG{n:011d}" for n in range(genes)],
      symbols=[f"GENE{n}" for n in range(genes)],
      rows=rows,
      columns=columns,
      x_px=x,
      y_px=y,
      in_tissue=(rows < wide - 48 // um).astype(int),
      width=round((side * 2 + 60) * 2 * PX_PER_UM),
      height=round((side * 2 + 60) * 2 * PX_PER_UM),
    )
    (sample.folder / "spatial").mkdir(parents=True)
    sample.write_h5()
    sample.write_parquet()
    diameter = um * 2 * PX_PER_UM
    sample.write_scalefactors(
      bin_size_um=float(um), microns_per_pixel=um / diameter, spot_diameter_fullres=diameter
    )
    sample.write_image("spatial/tissue_hires_image.png", HIRES)
    made[um] = sample
  return made


@dataclasses.dataclass
class CellTable:
  """Cells of an in-situ platform, and the transcripts that they are sums of."""

  folder: Path
  ids: list
  genes: list
  counts: np.ndarray
  positions_um: np.ndarray

  def pooled(self, pitch_um):
    """(row, column) of a square -> the sum of the cells whose centres lie in it."""
    sums = {}
    for place, row in zip(np.floor(self.positions_um / pitch_um), self.counts, strict=True):
      key = int(place[1]), int(place[0])
      sums[key] = sums.get(key, 0) + row
    return {key: row for key, row in sums.items() if row.sum()}

  def transcripts(self, gene="gene", x="x", y="y", um=1.0):
    """One row a count, where its cell lies."""
    cell, number = np.nonzero(self.counts)
    times = self.counts[cell, number]
    cell, number = np.repeat(cell, times), np.repeat(number, times)
    x_um, y_um = self.positions_um[cell].T
    return pd.DataFrame({gene: np.array(self.genes)[number], x: x_um / um, y: y_um / um})


def cell_table(folder: Path, *, cells=120, genes=25, side_um=400.0, seed=0) -> CellTable:
  """Cells strewn over a square; the folder is made, and nothing is written into it."""
  rng = np.random.default_rng(seed)
  folder.mkdir(parents=True)
  return CellTable(
    folder,
    ids=[f"cell{n}" for n in rng.permutation(cells)],
    genes=[f"GENE{n}" for n in range(genes)],
    counts=rng.poisson(0.7, (cells, genes)),
    positions_um=rng.uniform(-50, side_um, (cells, 2)),
  )


def xenium(folder: Path, *, text=False, seed=0) -> CellTable:
  """Writes `folder` as a Xenium output, with an H&E image that is turned and mirrored beside it."""
  made = cell_table(folder, seed=seed)
  matrix = Visium(
    folder, made.ids, np.c_[made.counts, np.ones(len(made.ids), int)],
    [f"ENSG{n:011d}" for n in range(len(made.genes))] + ["NegControlProbe_00001"],
    [*made.genes, "NegControlProbe_00001"],
    *[np.ones(len(made.ids), int)] * 5, 0, 0,
  )  # fmt: skip
  matrix.write_h5(
    "cell_feature_matrix.h5",
    feature_type=["Gene Expression"] * len(made.genes) + ["Negative Control Probe"],
  )
  x, y = made.positions_um.T
  order = np.random.default_rng(1).permutation(len(x))
  table = pd.DataFrame({"cell_id": made.ids, "x_centroid": x, "y_centroid": y}).iloc[order]
  if text:
    table.to_csv(folder / "cells.csv.gz")
  else:
    table.to_parquet(folder / "cells.parquet")
  (folder / "experiment.xenium").write_text(json.dumps({"pixel_size": 0.2125}))
  return made


@dataclasses.dataclass
class LegacyST:
  """A folder of first-generation arrays and what was put into it."""

  folder: Path
  names: list
  genes: list
  counts: dict
  x: np.ndarray
  y: np.ndarray
  pixel_x: np.ndarray
  pixel_y: np.ndarray

  @property
  def spots(self):
    """Names of the spots."""
    return [f"{a}x{b}" for a, b in zip(self.x, self.y, strict=True)]

  def write_counts(self, name, counts=None, *, folder="counts", spots=None, genes=None):
    """Replaces a table of spots by genes."""
    counts = self.counts[name] if counts is None else counts
    lines = ["\t" + "\t".join(self.genes if genes is None else genes)]
    for spot, row in zip(self.spots if spots is None else spots, counts, strict=True):
      lines.append("\t".join([spot, *(f"{value:g}" for value in row)]))
    path = self.folder / folder / f"{name}.tsv.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode() + b"\n"))

  def write_spots(self, name, *, folder="spots", selected=None, keep=slice(None)):
    """Replaces a position file."""
    selected = np.ones(len(self.x), int) if selected is None else selected
    lines = ["x\ty\tnew_x\tnew_y\tpixel_x\tpixel_y\tselected"] + [
      f"{a}\t{b}\t{a + 0.01}\t{b - 0.02}\t{c}\t{d}\t{s}"
      for a, b, c, d, s in zip(self.x, self.y, self.pixel_x, self.pixel_y, selected, strict=True)
    ][keep]
    (self.folder / folder / f"{name}_selection.tsv").write_text("\n".join(lines) + "\n")


def legacy_st(folder: Path, names=("A1", "A2", "B1"), *, side=6, genes=12, seed=0) -> LegacyST:
  """Writes `folder` with `counts` and `spots` of each section; 1 um per pixel."""
  rng = np.random.default_rng(seed)
  y, x = np.divmod(np.arange(side * side), side)
  x, y = x + 3, y + 5
  jitter = rng.normal(0, 10, (2, side * side))
  array = LegacyST(
    folder=folder,
    names=list(names),
    genes=[f"GENE{n}" for n in range(genes)],
    counts={n: rng.poisson(2.0, (side * side, genes)) + 1 for n in names},
    x=x,
    y=y,
    pixel_x=200.0 * x + jitter[0],
    pixel_y=200.0 * y + jitter[1],
  )
  for sub in ("counts", "spots"):
    (folder / sub).mkdir(parents=True)
  for name in names:
    array.write_counts(name)
    array.write_spots(name)
  return array


def _for_hdf5(value):
  if isinstance(value, list):
    return np.array([str(item).encode() for item in value])
  return value


def stimage(folder: Path, name: str, kind: str, *, image=True, seed=0) -> dict:
  """Writes a slide into `folder/<kind>` as STimage-1K4M does; returns spot -> (x, y, counts)."""
  rng = np.random.default_rng(seed)
  row, column = np.divmod(np.arange(63), 9)
  if kind == "ST":
    names, um = [f"{x}x{y}" for x, y in zip(column, row, strict=True)], 200 * np.c_[column, row]
  elif kind == "VisiumHD":
    names = [f"s_016um_{r:05d}_{c:05d}-1" for r, c in zip(row, column, strict=True)]
    um = 16 * np.c_[column, row]
  else:
    names = ["".join(rng.choice(list("ACGT"), 16)) + "-1" for _ in row]
    um = 100 * np.c_[column + row % 2 / 2, row * np.sqrt(0.75)]
  radius_um = {"ST": 50, "Visium": 32.5, "VisiumHD": 8}[kind]
  px = um / 2 + 60
  spots = [f"{name}_{spot}" for spot in names]
  counts = rng.poisson(1.0, (len(spots), 25)) + 1
  for part in ("coord", "gene_exp", "image"):
    (folder / kind / part).mkdir(parents=True, exist_ok=True)
  pd.DataFrame({"yaxis": px[:, 1], "xaxis": px[:, 0], "r": radius_um / 2}, index=spots).to_csv(
    folder / kind / "coord" / f"{name}_coord.csv"
  )
  genes = [f"GENE{n}" for n in range(25)]
  table = pd.DataFrame(counts, spots, genes).sample(frac=1, random_state=seed)
  table.to_csv(folder / kind / "gene_exp" / f"{name}_count.csv")
  if image:
    width, height = (px.max(axis=0) + 60).astype(int)
    pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(folder / kind / "image" / f"{name}.png")
  return dict(zip(spots, zip(*px.T, counts, strict=True), strict=True))
