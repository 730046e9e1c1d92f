"""The same folders by scanpy, squidpy and spatialdata-io: counts and places agree."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
import zarr

from data_pipelines import readers
from tests.data_pipelines import raw_folders
from tests.data_pipelines.readers import test_cells

pytestmark = pytest.mark.scverse


def peer(name):
  """The library; without it the comparison is skipped."""
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    return pytest.importorskip(name, reason=f"without {name}: NOT compared with it")


def pooled(adata, positions_um, pitch_um):
  """(row, column) of a square -> gene -> sum over the cells in it."""
  table = adata.to_df()
  column, row = np.floor(positions_um / pitch_um).astype(int).T
  sums = table.groupby([row, column]).sum()
  return sums[sums.sum(axis=1) > 0]


def check_squares(section, sums):
  assert section.num_spots == len(sums)
  ours = section.counts.toarray()
  for place, row in zip(section.array_positions.tolist(), ours, strict=True):
    theirs = sums.loc[[tuple(place)], section.gene_symbols.tolist()].to_numpy()[0]
    np.testing.assert_array_equal(row, theirs)


@pytest.fixture(autouse=True)
def quiet():
  """What these libraries warn of is theirs."""
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    yield


def test_bins_of_visium_hd_have_the_counts_that_scanpy_reads(tmp_path):
  scanpy = peer("scanpy")
  made = raw_folders.visium_hd(tmp_path / "S1")
  (section,) = readers.read_sections(tmp_path)
  theirs = scanpy.read_10x_h5(made[8].folder / "filtered_feature_bc_matrix.h5")
  theirs = theirs[section.spot_ids]
  assert (section.counts != theirs.X).nnz == 0
  assert section.gene_ids.tolist() == theirs.var["gene_ids"].tolist()


def test_cells_of_xenium_lie_where_spatialdata_reads_them(tmp_path):
  io = peer("spatialdata_io")
  made = raw_folders.xenium(tmp_path / "S1")
  (made.folder / "experiment.xenium").write_text(
    json.dumps({"pixel_size": 0.2125, "analysis_sw_version": "xenium-1.0.2.0", "region_name": "a",
                "num_cells": 120, "major_version": 4, "minor_version": 0})
  )  # fmt: skip
  parts = (
    "cells_boundaries", "nucleus_boundaries", "cells_labels", "nucleus_labels", "transcripts",
    "morphology_mip", "morphology_focus", "aligned_images",
  )  # fmt: skip
  table = pd.read_parquet(made.folder / "cells.parquet").set_index("cell_id").loc[made.ids]
  table = table.assign(cell_area=50.0, nucleus_area=9.0).reset_index()
  table.to_parquet(made.folder / "cells.parquet")
  with zarr.storage.ZipStore(made.folder / "cells.zarr.zip", mode="w") as outlines:
    zarr.create_group(outlines, zarr_format=2)
  data = io.xenium(made.folder, cells_as_circles=True, **dict.fromkeys(parts, False))
  table = data["table"]
  (section,) = readers.read_sections(tmp_path)
  check_squares(section, pooled(table, table.obsm["spatial"], 55))


def test_cells_of_merscope_and_cosmx_lie_where_squidpy_reads_them(tmp_path):
  squidpy = peer("squidpy")
  made = raw_folders.cell_table(tmp_path / "m" / "S1")
  test_cells.merscope(made)
  theirs = squidpy.read.vizgen(
    made.folder, counts_file="cell_by_gene.csv", meta_file="cell_metadata.csv"
  )
  (section,) = readers.read_sections(tmp_path / "m")
  check_squares(section, pooled(theirs, theirs.obsm["spatial"], 55))

  made = raw_folders.cell_table(tmp_path / "c" / "S1")
  test_cells.cosmx(made, transcripts=True)  # the file of fields of view
  fields = made.folder / "S1_fov_positions_file.csv"
  pd.read_csv(fields).assign(fov=[1, 2]).to_csv(fields, index=False)
  test_cells.cosmx(made)
  theirs = squidpy.read.nanostring(
    made.folder, counts_file="S1_exprMat_file.csv", meta_file="S1_metadata_file.csv",
    fov_file="S1_fov_positions_file.csv",
  )  # fmt: skip
  (section,) = readers.read_sections(tmp_path / "c")
  places = theirs.obsm["spatial_fov"] * test_cells.PX_UM
  check_squares(section, pooled(theirs, places, 55))


def test_real_cells_of_xenium_have_the_counts_that_a_cast_of_their_indices_gives(real_data):
  """Indices stored as fractions, as R writes them, are more than scanpy reads."""
  scanpy = peer("scanpy")
  path = real_data / "fixtures" / "xenium_tiny"
  with pytest.raises(Exception, match=r".*"):
    scanpy.read_10x_h5(path / "cell_feature_matrix.h5")
  (section,) = readers.read_sections(path)
  assert section.counts.sum() == 21


def squidpy_section(squidpy, sample):
  adata = squidpy.read.visium(sample.folder, library_id=sample.folder.parent.name)
  return adata[adata.obs["in_tissue"] == 1].copy()


def check_spots(section, theirs):
  theirs = theirs[section.spot_ids]
  assert section.num_spots == len(theirs)
  assert (section.counts != theirs.X).nnz == 0
  full_px = section.positions_px / section.image_scale
  np.testing.assert_allclose(full_px, theirs.obsm["spatial"], atol=1.0)  # squidpy rounds
  np.testing.assert_array_equal(
    section.array_positions, theirs.obs[["array_row", "array_col"]].to_numpy(int)
  )


def test_spots_of_visium_have_the_counts_and_places_that_squidpy_reads(tmp_path):
  squidpy = peer("squidpy")
  sample = raw_folders.visium(tmp_path / "S1" / "outs")
  theirs = squidpy_section(squidpy, sample)
  (section,) = readers.read_sections(tmp_path / "S1")
  check_spots(section, theirs)
  theirs.write_h5ad(tmp_path / "S1.h5ad")
  (again,) = readers.read_sections(tmp_path / "S1.h5ad")
  check_spots(again, theirs)
  np.testing.assert_allclose(again.um_per_px * again.image_scale, 2.0, rtol=1e-3)


def test_slides_that_scanpy_users_join_are_told_apart_again(tmp_path):
  squidpy = peer("squidpy")
  anndata = peer("anndata")
  made = [raw_folders.visium(tmp_path / f"S{n}" / "outs", seed=n) for n in (1, 2)]
  theirs = {sample.folder.parent.name: squidpy_section(squidpy, sample) for sample in made}
  joined = anndata.concat(theirs, label="batch", index_unique="-", uns_merge="unique")
  joined.var = next(iter(theirs.values())).var
  joined.write_h5ad(tmp_path / "joined.h5ad")
  found = readers.read_sections(tmp_path / "joined.h5ad")
  assert [one.section_id for one in found] == ["S1", "S2"]
  for section in found:
    own = theirs[section.section_id].copy()
    own.obs_names = [f"{name}-{section.section_id}" for name in own.obs_names]
    check_spots(section, own)
    assert section.image is not None
