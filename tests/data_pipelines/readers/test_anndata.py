"""AnnData as people have it: where things are looked for, what is said when they are missing."""

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from PIL import Image

from data_pipelines import readers
from data_pipelines.prepare import PrepareOptions, prepare
from data_pipelines.problems import BadInputError
from data_pipelines.readers.annotated import contents, count_rows, places, raw_matrix, sections
from data_pipelines.readers.annotated.sections import Choices
from tests.data_pipelines import annotated, hand_made

UM_PER_PX = hand_made.UM_PER_PX


@pytest.fixture
def section():
  return annotated.section()


@pytest.fixture
def adata(section):
  return annotated.adata(section)


def read(adata, **choices):
  return sections.sections_of(contents.of_object(adata), Choices(**choices))


def written(adata, path, **how):
  adata.write_h5ad(path, **how)
  return path


def counts_of(streamed):
  return streamed.read_counts(np.arange(streamed.num_spots)).toarray()


# Counts


@pytest.mark.parametrize("kind", ["csr", "csc", "dense"])
def test_rows_of_a_file_are_those_of_the_matrix_however_it_is_stored(adata, tmp_path, kind):
  as_stored = {
    "csr": scipy.sparse.csr_matrix, "csc": scipy.sparse.csc_matrix, "dense": lambda x: x.toarray()
  }  # fmt: skip
  want = adata.X.toarray()
  adata.X = as_stored[kind](adata.X)
  path = written(adata, tmp_path / "a.h5ad", compression="gzip")
  rows = np.array([0, 3, 4, 5, 40, 89])
  with contents.opened(path) as found:
    matrix = found.matrices["X"][0]
    assert matrix.shape == want.shape
    np.testing.assert_array_equal(matrix.rows(rows).toarray(), want[rows])
    assert matrix.rows(rows[:0]).shape == (0, want.shape[1])


def test_raw_counts_are_taken_from_the_layer_before_x_and_from_raw_last(adata, section):
  adata.raw = adata.copy()
  adata.X = adata.X.log1p()
  assert read(adata)[0].notes == ("counts from raw.X",)
  adata.layers["counts"] = section.counts
  (streamed,) = read(adata)
  assert streamed.notes == ("counts from layers['counts']",)
  np.testing.assert_array_equal(counts_of(streamed), section.counts.toarray())
  adata.X = section.counts
  assert read(adata)[0].notes == ("counts from layers['counts']",)
  adata.layers["counts"] = adata.layers["counts"].log1p()
  assert read(adata)[0].notes == ("counts from X",)


def test_a_layer_can_be_named_and_none_reads_the_image_alone(section):
  adata = annotated.adata(section, image=annotated.picture(section))
  adata.layers["umi"] = section.counts
  adata.X = adata.X.log1p()
  assert read(adata, layer="umi")[0].notes[0] == "counts from layers['umi']"
  assert read(adata, layer="none")[0].read_counts is None


def test_without_raw_counts_every_matrix_is_named_with_what_it_holds(adata):
  adata.layers["counts"] = adata.X - 1.0 * (adata.X > 0) - 1e-3 * (adata.X > 0)
  adata.layers["spliced"] = adata.X.copy()
  adata.X = adata.X.log1p()
  with pytest.raises(BadInputError, match="raw integer counts") as caught:
    read(adata)
  for words in ("negative values in layers['counts']", "log-normalised", "in X", "spliced"):
    assert words in str(caught.value)


def test_a_value_that_is_no_count_is_found_wherever_it_lies(adata):
  wide = anndata.concat([adata.copy() for _ in range(4)], index_unique="-")
  beside = np.repeat(np.arange(4), adata.n_obs)
  wide.obs["array_col"] += 40 * beside
  wide.obsm["spatial"] = np.tile(np.asarray(adata.obsm["spatial"]), (4, 1)) + np.outer(
    beside, [1000, 0]
  )
  wide.var = adata.var
  row = 2  # of 360, among which 200 are looked at to choose the matrix: 0, 1, 3, 5, ...
  wide.X.data[wide.X.indptr[row]] = 0.5
  (streamed,) = read(wide, um_per_px=1.0)
  with pytest.raises(BadInputError, match="0.5") as caught:
    counts_of(streamed)
  assert wide.obs_names[row] in str(caught.value)


# Genes


@pytest.mark.parametrize("column", ["gene_ids", "ensembl_id", "index"])
def test_ensembl_ids_are_found_in_any_column_and_lose_their_version(adata, section, column):
  ids = [f"{name}.{n % 9}" for n, name in enumerate(section.gene_ids)]
  del adata.var["gene_ids"]
  if column == "index":
    adata.var["feature_name"] = adata.var_names.to_numpy()
    adata.var_names = ids
  else:
    adata.var[column] = ids
  (streamed,) = read(adata)
  assert streamed.gene_ids.tolist() == section.gene_ids.tolist()
  assert streamed.gene_symbols.tolist() == section.gene_symbols.tolist()


def test_symbols_alone_are_ids_too(adata, section):
  del adata.var["gene_ids"]
  (streamed,) = read(adata)
  assert streamed.gene_ids.tolist() == section.gene_symbols.tolist()


def test_antibodies_and_control_probes_are_no_genes(adata, section):
  adata.var["feature_types"] = ["Antibody Capture"] * 3 + ["Gene Expression"] * 37
  adata.var_names = [*adata.var_names[:-1], "NegControlProbe_1"]
  adata.var.loc["NegControlProbe_1", "gene_ids"] = "NegControlProbe_1"
  (streamed,) = read(adata)
  assert streamed.gene_ids.tolist() == section.gene_ids[3:-1].tolist()
  np.testing.assert_array_equal(counts_of(streamed), section.counts.toarray()[:, 3:-1])


# Positions, sections, scale


def test_without_positions_the_keys_that_are_there_are_listed(adata):
  del adata.obsm["spatial"]
  adata.obsm["X_umap"] = np.zeros((adata.n_obs, 2))
  with pytest.raises(BadInputError, match="X_umap"):
    read(adata)


def test_positions_may_lie_under_x_spatial_or_in_columns_of_pixels(adata):
  want = adata.obsm["spatial"]
  del adata.obsm["spatial"]
  for key in ("X_spatial", "Spatial"):
    adata.obsm[key] = want
    np.testing.assert_array_equal(read(adata)[0].positions_px, want)
    del adata.obsm[key]
  for columns in (["imagecol", "imagerow"], ["pxl_col_in_fullres", "pxl_row_in_fullres"]):
    adata.obs[columns] = want
    np.testing.assert_array_equal(read(adata)[0].positions_px, want)
    adata.obs = adata.obs.drop(columns=columns)


@pytest.mark.parametrize("names", ["yx", ("pxl_row_in_fullres", "pxl_col_in_fullres")])
def test_named_columns_of_positions_are_read_by_their_names(adata, names, tmp_path):
  want = adata.obsm["spatial"]
  adata.obsm["spatial"] = pd.DataFrame(want[:, ::-1], adata.obs_names, list(names))
  np.testing.assert_array_equal(read(adata)[0].positions_px, want)
  adata.write_h5ad(tmp_path / "S.h5ad")
  with contents.opened(tmp_path / "S.h5ad") as stored:
    np.testing.assert_array_equal(places.positions_px(stored), want)


def test_a_spot_without_a_position_is_refused(adata):
  adata.obsm["spatial"] = np.where(np.arange(adata.n_obs)[:, None] == 5, np.nan, [[1.0, 2.0]])
  with pytest.raises(BadInputError, match="1 spots without a position"):
    read(adata)


def test_spots_go_to_the_section_that_a_column_names(section):
  two = anndata.concat(
    [annotated.adata(section), annotated.adata(annotated.section("T", seed=1))], merge="same"
  )
  mixed = two[np.random.default_rng(0).permutation(two.n_obs)].copy()
  mixed.obs["library_id"] = [name.partition("-")[0] for name in mixed.obs_names]
  found = read(mixed)
  assert {one.section_id for one in found} == {"S", "T"}
  for one in found:
    assert {mixed.obs_names[row][0] for row in one.rows} == {one.section_id}
    np.testing.assert_array_equal(counts_of(one), mixed.X[one.rows].toarray())
  mixed.obs["slide"] = mixed.obs.pop("library_id")
  assert len(read(mixed)) == 2
  mixed.obs["whose"] = mixed.obs.pop("slide")
  assert len(read(mixed, library_key="whose")) == 2
  mixed.uns["spatial"] = {"S": {}, "T": {}}
  assert len(read(mixed)) == 2
  del mixed.obs["whose"]
  with pytest.raises(BadInputError, match="library_id"):
    read(mixed)


def test_the_scale_comes_from_the_lattice_or_a_factor_and_never_from_a_diameter_alone(
  adata, section
):
  by_lattice = read(adata)[0]
  assert by_lattice.um_per_px == pytest.approx(UM_PER_PX)
  assert by_lattice.um_per_px_source.startswith("lattice pitch")
  del adata.obs["array_row"]
  by_neighbours = read(adata)[0]
  assert by_neighbours.um_per_px == pytest.approx(UM_PER_PX, rel=0.01)
  assert "hexagonal" in by_neighbours.um_per_px_source
  assert any("the scale is an assumption" in note for note in by_neighbours.notes)
  assert not any("assumption" in note for note in by_lattice.notes)
  adata.obsm["spatial"] = np.random.default_rng(0).uniform(0, 500, (adata.n_obs, 2))
  factors = {"spot_diameter_fullres": 13.0}
  adata.uns["spatial"] = {"S": {"scalefactors": factors, "images": {}}}
  with pytest.raises(BadInputError, match="diameter alone proves nothing"):
    read(adata)
  factors["microns_per_pixel"] = 0.27
  assert read(adata)[0].um_per_px == pytest.approx(0.27)
  assert read(adata, um_per_px=2.0)[0].um_per_px == 2.0


@pytest.mark.parametrize("spot_um", [55.0, 65.0])
def test_both_diameters_that_programs_write_agree_with_the_lattice(section, spot_um):
  adata = annotated.adata(section, library="S")
  factors = adata.uns["spatial"]["S"]["scalefactors"]
  factors |= {"spot_diameter_fullres": spot_um / UM_PER_PX, "microns_per_pixel": 1.02 * UM_PER_PX}
  (found,) = read(adata)
  assert found.um_per_px == pytest.approx(UM_PER_PX)
  assert f"5 by spots of {spot_um:g} um" in found.um_per_px_source
  assert "5.1 by scalefactor microns_per_pixel" in found.um_per_px_source


def test_a_checkerboard_is_not_taken_for_a_hexagonal_lattice(section):
  adata = annotated.adata(section, library="S")
  row, column = np.divmod(np.arange(90), 9)
  adata.obs["array_row"], adata.obs["array_col"] = row, 2 * column + row % 2
  adata.obsm["spatial"] = np.stack([2 * column + row % 2, row], 1) * 20.0
  adata.uns["spatial"]["S"]["scalefactors"] = {"microns_per_pixel": 7.0}
  assert read(adata)[0].um_per_px == 7.0


def test_a_factor_that_says_so_is_believed_and_a_square_array_is_no_visium(adata):
  adata.uns["spatial"] = {"S": {"scalefactors": {"spot_diameter_fullres": 20.0}, "images": {}}}
  adata.obs["array_col"] = adata.obs["array_col"] // 2  # legacy arrays: spots of 100 um
  with pytest.raises(BadInputError, match="--um_per_px"):
    read(adata)
  adata.uns["spatial"]["S"]["scalefactors"]["microns_per_pixel"] = 5.0
  assert read(adata)[0].um_per_px == 5.0


def test_positions_without_any_length_are_refused(adata):
  del adata.obs["array_row"]
  adata.obsm["spatial"] = np.random.default_rng(0).uniform(0, 500, (adata.n_obs, 2))
  with pytest.raises(BadInputError, match="--um_per_px"):
    read(adata)


def test_two_lengths_that_contradict_each_other_are_refused(section):
  adata = annotated.adata(section, library="S")
  factors = adata.uns["spatial"]["S"]["scalefactors"]
  for wrong in ({"spot_diameter_fullres": 65.0}, {"microns_per_pixel": UM_PER_PX / 4}):
    adata.uns["spatial"]["S"]["scalefactors"] = factors | wrong
    with pytest.raises(BadInputError, match="beside"):
      read(adata)


# Image


@pytest.mark.parametrize("kind", ["uint8", "float"])
def test_the_image_inside_is_read_at_its_own_scale(section, tmp_path, kind):
  pixels = annotated.picture(section)
  adata = annotated.adata(section, image=pixels if kind == "uint8" else pixels / 255.0)
  path = written(adata, tmp_path / "a.h5ad")
  with contents.opened(path) as found:
    (streamed,) = sections.sections_of(found, Choices())
  np.testing.assert_array_equal(streamed.image.pixels(), pixels)
  np.testing.assert_allclose(streamed.positions_px, section.positions_px * 0.2)
  assert streamed.um_per_px == pytest.approx(5 * UM_PER_PX)
  np.testing.assert_allclose(streamed.positions_um, section.positions_um)


def test_a_named_image_wins_over_the_one_inside(section, tmp_path):
  adata = annotated.adata(section, image=annotated.picture(section))
  Image.fromarray(annotated.picture(section, 1.0)).save(tmp_path / "full.png")
  (streamed,) = read(adata, image=tmp_path / "full.png")
  assert streamed.image.kind == "full"
  np.testing.assert_allclose(streamed.positions_px, section.positions_px)


def test_swapped_positions_and_foreign_scales_are_refused_with_a_hint(section):
  wide = np.random.default_rng(0).integers(0, 256, (12, 60, 3), np.uint8)
  adata = annotated.adata(section, image=wide)
  adata.obsm["spatial"] = np.stack([np.linspace(1, 50, 90), np.linspace(80, 290, 90)], 1)
  with pytest.raises(BadInputError, match="swapped"):
    read(adata, um_per_px=5.0)
  adata.obsm["spatial"] = adata.obsm["spatial"] * 1000
  with pytest.raises(BadInputError, match="scale factor"):
    read(adata, um_per_px=5.0)


# Files that must not be believed


def test_a_cut_off_file_a_text_and_another_hdf5_are_refused(adata, tmp_path):
  path = written(adata, tmp_path / "a.h5ad")
  whole = path.read_bytes()
  (tmp_path / "cut.h5ad").write_bytes(whole[: len(whole) // 2])
  (tmp_path / "text.h5ad").write_text("barcode,gene\n")
  with h5py.File(tmp_path / "other.h5ad", "w") as file:
    file["matrix"] = [1]
  for name, words in (("cut", "damaged"), ("text", "HDF5"), ("other", "obs and var")):
    with pytest.raises(BadInputError, match=words):
      readers.open_sections(tmp_path / f"{name}.h5ad")


def test_an_index_outside_the_matrix_is_refused_before_it_crashes_anything(adata, tmp_path):
  path = written(adata, tmp_path / "a.h5ad")
  with h5py.File(path, "r+") as file:
    file["X/indices"][7] = 10_000
  with contents.opened(path) as found, pytest.raises(BadInputError, match="10000"):
    found.matrices["X"][0].rows(np.arange(adata.n_obs))
  with h5py.File(path, "r+") as file:
    file["X/indptr"][3] = 10_000_000
  with pytest.raises(BadInputError, match="indptr"), contents.opened(path):
    pass


def test_a_link_into_another_file_is_refused(adata, tmp_path):
  path = written(adata, tmp_path / "a.h5ad")
  with h5py.File(path, "r+") as file:
    file["obsm/linked"] = h5py.ExternalLink("/etc/passwd", "/")
  with pytest.raises(BadInputError, match="another file"), contents.opened(path):
    pass


# As a platform among others


def test_a_corpus_can_be_prepared_from_it(section, tmp_path):
  for one in (section, annotated.section("T", "E", seed=1)):
    made = annotated.adata(one, image=annotated.picture(one))
    made.obs["donor_id"] = one.donor_id
    made.write_h5ad(tmp_path / f"{one.section_id}.h5ad")
  (tmp_path / "sets.gmt").write_text("LEFT\t\t" + "\t".join(f"G{n}" for n in range(10)) + "\n")
  manifest = prepare(
    [tmp_path], tmp_path / "corpus", PrepareOptions(gene_sets=(tmp_path / "sets.gmt",), patch_px=8)
  )
  assert [s["num_spots"] for s in manifest["sections"]] == [90, 90]
  assert [s["donor_id"] for s in manifest["sections"]] == ["D", "E"]
  assert all(s["has_image"] for s in manifest["sections"])
  assert manifest["labels"] == {"side": ["left", "right"]}
  assert manifest["panel"]["num_genes"] == hand_made.GENES


def test_a_section_read_from_it_is_the_one_that_was_written(section, tmp_path):
  adata = annotated.adata(section, library="S")
  adata.obs["in_tissue"] = (np.arange(90) >= 4).astype(int)
  adata.X = scipy.sparse.csr_matrix(adata.X.toarray() * (np.arange(90) != 50)[:, None])
  (found,) = readers.read_sections(written(adata, tmp_path / "S.h5ad"))
  kept = (np.arange(90) >= 4) & (np.arange(90) != 50)
  assert found.spot_ids.tolist() == section.spot_ids[kept].tolist()
  assert (found.counts != section.counts[kept]).nnz == 0
  np.testing.assert_allclose(found.positions_um, section.positions_um[kept])
  assert found.dropped["spots without counts"] == 1
  assert found.labels["side"].tolist() == section.labels["side"][kept].tolist()


def test_what_a_file_does_not_say_is_said_in_the_table_or_by_a_word(section, tmp_path):
  adata = annotated.adata(section)
  adata.layers["umi"] = adata.X.copy()
  adata.X = adata.X.log1p()
  adata.obs["array_col"] = adata.obs["array_col"] // 2
  adata.obs["block"] = np.where(adata.obsm["spatial"][:, 0] < 100, "left", "right")
  path = written(adata, tmp_path / "S.h5ad")
  words = readers.Words(layer="umi", um_per_px=0.5, library_key="block")
  found = readers.read_sections(path, words=words)
  assert [(one.section_id, one.um_per_px) for one in found] == [("left", 0.5), ("right", 0.5)]
  (tmp_path / "metadata.csv").write_text(
    "section,layer,um_per_px,library_key,donor\nS,umi,0.25,block,d\nleft,umi,0.5,,e\n"
  )
  found = readers.read_sections(path)
  assert [(one.section_id, one.um_per_px, one.donor_id) for one in found] == [
    ("left", 0.5, "e"), ("right", 0.25, "d")
  ]  # fmt: skip


def test_the_array_that_a_file_is_of_can_be_said(section, tmp_path):
  adata = annotated.adata(section)
  adata.obs["array_col"] = np.arange(90) % 10  # a square array whose pitch no file says
  adata.obsm["spatial"] = adata.obs[["array_col", "array_row"]].to_numpy() * 40.0
  path = written(adata, tmp_path / "S.h5ad")
  with pytest.raises(BadInputError, match="micrometres per pixel"):
    readers.read_sections(path)
  (found,) = readers.read_sections(path, words=readers.Words(platform="legacy_st"))
  assert found.um_per_px == pytest.approx(5.0)


def test_files_that_share_the_name_of_their_section_are_called_as_the_files(section, tmp_path):
  for name, seed in (("TENX1", 1), ("TENX2", 2)):
    made = annotated.adata(annotated.section("S", seed=seed), library="ST")
    made.write_h5ad(tmp_path / f"{name}.h5ad")
  sources = readers.open_sections(tmp_path)
  assert [(s.section_id, s.donor_id) for s in sources] == [("TENX1", "TENX1"), ("TENX2", "TENX2")]
  assert [s.read().section_id for s in sources] == ["TENX1", "TENX2"]
  (tmp_path / "metadata.csv").write_text("section,donor\nTENX2,d\n")
  assert [s.donor_id for s in readers.open_sections(tmp_path)] == ["ST", "d"]


def test_runs_are_the_stretches_without_a_gap():
  assert list(count_rows.runs(np.array([2, 3, 4, 9, 11, 12]))) == [(2, 5), (9, 10), (11, 13)]
  assert list(count_rows.runs(np.array([], int))) == []


def test_missing_names_fall_back_on_each_other():
  var = pd.DataFrame(
    {"gene_ids": ["ENSG00000000001", "", "ENSG00000000003"], "symbol": ["A", "B", None]},
    index=["a", "b", "c"],
  )
  ids, symbols = raw_matrix.names_of(var)
  assert ids.tolist() == ["ENSG00000000001", "B", "ENSG00000000003"]
  assert symbols.tolist() == ["A", "B", "ENSG00000000003"]


def test_cells_are_pooled_to_squares_with_their_labels_where_a_pitch_is_given(tmp_path):
  rng = np.random.default_rng(0)
  counts, places = rng.poisson(1.0, (300, 25)), rng.uniform(0, 600, (300, 2))
  kind = np.where(places[:, 0] < 300, "left", "right")
  cells = anndata.AnnData(
    counts.astype(np.float32),
    obs=pd.DataFrame({"kind": pd.Categorical(kind)}, map(str, range(300))),
  )
  cells.obsm["spatial"] = places * 2  # pixels of 0.5 um
  cells.write_h5ad(tmp_path / "S.h5ad")
  (section,) = readers.read_sections(tmp_path, words=readers.Words(um_per_px=0.5, pitch_um=100.0))
  assert (section.num_spots, section.counts.sum(), section.spot_um) == (36, counts.sum(), 100.0)
  np.testing.assert_allclose(section.positions_px, section.positions_um * 2)
  left = section.positions_um[:, 0] < 300
  np.testing.assert_array_equal(section.labels["kind"], np.where(left, "left", "right"))
  (apart,) = readers.read_sections(tmp_path, words=readers.Words(um_per_px=0.5))
  assert any("pitch_um 55" in note for note in apart.notes)


def test_bins_are_pooled_whole_though_their_lattice_is_turned(tmp_path):
  row, column = np.divmod(np.arange(32 * 32), 32)
  turn = np.deg2rad(7)
  places = np.stack([column, row], 1) * 8.0 @ [
    [np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]
  ]  # fmt: skip
  obs = pd.DataFrame({"array_row": row, "array_col": column}, map(str, range(32 * 32)))
  bins = anndata.AnnData(np.ones((32 * 32, 25), np.float32), obs=obs)
  bins.X[::2, 0] = 2
  bins.obsm["spatial"] = places + 300
  bins.write_h5ad(tmp_path / "S.h5ad")
  (section,) = readers.read_sections(tmp_path, words=readers.Words(um_per_px=1.0, pitch_um=32.0))
  assert section.num_spots == 64
  assert set(section.counts[:, 1].toarray().ravel()) == {16}
