"""AnnData as users hand them over, made of sections with a known truth."""

import anndata
import numpy as np
import pandas as pd

from tests.data_pipelines import hand_made


def adata(section, *, image=None, library=None):
  """One section with raw counts in X; `image` are pixels at a fifth of the full size."""
  obs = pd.DataFrame(
    {
      "array_row": section.array_positions[:, 0],
      # Columns of Visium count by half a spot.
      "array_col": 2 * section.array_positions[:, 1] + section.array_positions[:, 0] % 2,
      "side": pd.Categorical(section.labels["side"].astype(str)),
    },
    index=pd.Index(section.spot_ids.astype(str)),
  )
  var = pd.DataFrame(
    {"gene_ids": section.gene_ids.astype(str)}, index=pd.Index(section.gene_symbols.astype(str))
  )
  made = anndata.AnnData(X=section.counts.astype(np.float32), obs=obs, var=var)
  made.obsm["spatial"] = section.positions_px
  if library or image is not None:
    images = {} if image is None else {"hires": image}
    factors = {"tissue_hires_scalef": 0.2} if image is not None else {}
    made.uns["spatial"] = {library or section.section_id: {
      "images": images, "scalefactors": factors | {"spot_diameter_fullres": 65 / section.um_per_px}
    }}  # fmt: skip
  return made


def picture(section, scale=0.2):
  """Pixels under all of a section's spots; every pixel differs."""
  width, height = (np.ceil(section.positions_px.max(0) * scale) + 20).astype(int)
  return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def section(name="S", donor="D", **kinds):
  """A hand-made section; scale and pitch are as `hand_made` says."""
  return hand_made.section(name, donor, **kinds)
