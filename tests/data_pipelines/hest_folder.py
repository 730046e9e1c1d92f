"""A folder shaped as HEST-1k is, with a known truth."""

import json

import anndata
import h5py
import numpy as np
import pandas as pd
import scipy.sparse
from PIL import Image

UM_PER_PX = 2.0
SIDE = 6
"""Spots a side."""
PATCH_UM = 112.0


def write(folder, *, table=True, extra=()):
  """A Visium sample with its slide, one of which only patches are left, and a legacy one.

  Returns:
    The AnnData of each, as written.
  """
  for name in ("st", "wsis", "patches", "metadata"):
    (folder / name).mkdir(parents=True)
  made = {
    "TENX1": sample(folder, "TENX1", seed=1),
    "TENX2": sample(folder, "TENX2", seed=2),
    "MEND1": sample(folder, "MEND1", seed=3, pitch_um=200.0),
    **{name: sample(folder, name, seed=9 + n) for n, name in enumerate(extra)},
  }
  for name in ("TENX1", "MEND1", *extra):
    picture(made[name]).save(folder / "wsis" / f"{name}.tif")
  patches(folder / "patches" / "TENX2.h5", made["TENX2"])
  rows = [
    {
      "dataset_title": f"A study, of {name[:4]}",
      "id": name,
      "species": "Homo sapiens",
      "patient": "Patient 1" if name == "TENX1" else "",
      "st_technology": "Spatial Transcriptomics" if name == "MEND1" else "Visium",
      "inter_spot_dist": 200.0 if name == "MEND1" else 100.0,
      "pixel_size_um_embedded": 0.9,  # often wrong
      "pixel_size_um_estimated": UM_PER_PX * 1.01,
    }
    for name in made
  ]
  if table:
    text = pd.DataFrame(rows).to_csv(index=False)
    (folder / "HEST_v1_1_0.csv").write_text("\ufeff" + text, encoding="utf-8")
  else:
    for row in rows:
      (folder / "metadata" / f"{row['id']}.json").write_text(json.dumps(row))
  return made


def sample(folder, name, seed, pitch_um=100.0):
  """Writes one AnnData: symbols, raw counts, "ST" as the only library."""
  rng = np.random.default_rng(seed)
  row, column = np.divmod(np.arange(SIDE * SIDE), SIDE)
  pitch = pitch_um / UM_PER_PX
  if pitch_um == 100.0:
    column = 2 * column + row % 2
    xy = np.stack([column * pitch / 2, row * pitch * np.sqrt(0.75)], 1) + 75.0
  else:
    xy = np.stack([column * pitch, row * pitch], 1) + 75.0
  letters = rng.choice(list("ACGT"), (len(row), 16))
  barcodes = ["".join(one) + "-1" for one in letters]
  obs = pd.DataFrame(
    {"in_tissue": 1, "array_row": row, "array_col": column, "pxl_col_in_fullres": xy[:, 0],
     "pxl_row_in_fullres": xy[:, 1]}, index=barcodes,
  )  # fmt: skip
  left = (xy[:, 0] < np.median(xy[:, 0]))[:, None]
  counts = rng.poisson(np.where(left == (np.arange(40) < 20)[None], 8.0, 2.0))
  made = anndata.AnnData(
    scipy.sparse.csr_matrix(counts.astype(np.float32)),
    obs=obs,
    var=pd.DataFrame(index=[f"GENE{n}" for n in range(40)]),
  )
  made.obsm["spatial"] = xy
  small = np.asarray(picture(made).resize((80, 80)))
  scale = 80 / picture(made).width
  made.uns["spatial"] = {"ST": {
    "images": {"downscaled_fullres": small},
    "scalefactors": {
      "spot_diameter_fullres": 55.0 / UM_PER_PX, "tissue_downscaled_fullres_scalef": scale,
    },
  }}  # fmt: skip
  made.write_h5ad(folder / "st" / f"{name}.h5ad")
  return made


def picture(adata):
  """A slide on which a pixel's colour says where it is."""
  side = int(adata.obsm["spatial"].max()) + 75
  y, x = np.mgrid[:side, :side]
  pixels = np.stack([x // 3 % 256, y // 3 % 256, np.full_like(x, 150)], -1)
  return Image.fromarray(pixels.astype(np.uint8))


def patches(path, adata, *, every=2, shift=0.0):
  """Patches of every second spot, last first, at half the resolution of the slide."""
  width = int(PATCH_UM / UM_PER_PX)
  rows = np.arange(0, adata.n_obs, every)[::-1]
  slide = picture(adata)
  corners = (adata.obsm["spatial"][rows] - width // 2 + shift).astype(int)
  with h5py.File(path, "w") as file:
    file["img"] = np.stack([
      np.asarray(
        slide.crop((x, y, x + width, y + width)).resize((width // 2,) * 2, Image.Resampling.BOX)
      )
      for x, y in corners.tolist()
    ])  # fmt: skip
    file["coords"] = corners
    file["barcode"] = adata.obs_names.to_numpy()[rows].astype("S")[:, None]
