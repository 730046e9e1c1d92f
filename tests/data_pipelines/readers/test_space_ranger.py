"""Visium folders, as Space Ranger writes them and as people pass them on."""

import json
import shutil

import h5py
import numpy as np
import pytest
from PIL import Image

from data_pipelines import readers
from data_pipelines.problems import BadInputError
from tests.data_pipelines import raw_folders
from tests.data_pipelines.raw_folders import HIRES, PX_PER_UM


@pytest.fixture
def sample(tmp_path):
  return raw_folders.visium(tmp_path / "S1" / "outs")


def read(sample, **options):
  (section,) = readers.read_sections(sample.folder, **options)
  return section


def problem_of(sample, **options):
  with pytest.raises(BadInputError) as problem:
    read(sample, **options)
  return problem.value


def metadata(sample, **row):
  row = {"section": "S1"} | row
  path = sample.folder.parent / "table.csv"
  path.write_text(",".join(row) + "\n" + ",".join(map(str, row.values())) + "\n")
  return path


def on_tissue(sample):
  return sample.in_tissue.astype(bool)


def test_counts_and_positions_of_a_spot_come_back_together(sample):
  section = read(sample)
  on = on_tissue(sample)
  assert section.section_id == "S1"
  assert section.spot_ids.tolist() == np.array(sample.barcodes)[on].tolist()
  np.testing.assert_array_equal(section.counts.toarray(), sample.counts[on])
  assert section.counts.dtype == np.int32
  assert section.gene_symbols.tolist() == sample.symbols
  np.testing.assert_allclose(section.positions_px[:, 0], sample.x_px[on] * HIRES)
  np.testing.assert_allclose(section.positions_px[:, 1], sample.y_px[on] * HIRES)
  np.testing.assert_allclose(section.positions_um[:, 0], sample.x_px[on] / PX_PER_UM, rtol=1e-6)
  np.testing.assert_array_equal(section.array_positions[:, 0], sample.rows[on])
  assert section.species == "human"


def test_um_per_px_is_of_the_image_that_is_opened(sample):
  assert read(sample).um_per_px == pytest.approx(1 / PX_PER_UM / HIRES)
  sample.write_image("full.png")
  full = read(sample, metadata=metadata(sample, image="full.png"))
  assert full.um_per_px == pytest.approx(1 / PX_PER_UM)
  assert full.image.kind == "full"


def test_without_a_hires_image_the_lowres_one_is_used_and_said_so(sample):
  assert any("hires one at" in note for note in read(sample).notes)
  (sample.folder / "spatial" / "tissue_hires_image.png").unlink()
  section = read(sample)
  assert section.image.kind == "lowres"
  assert any("lowres one at" in note for note in section.notes)


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("name", ["tissue_positions.csv", "tissue_positions_list.csv"])
def test_a_header_is_told_from_the_first_line_and_not_from_the_file_name(sample, name, header):
  want = read(sample)
  sample.write_positions(name, header=header)
  got = read(sample)
  assert got.spot_ids.tolist() == want.spot_ids.tolist()
  np.testing.assert_array_equal(got.positions_px, want.positions_px)


@pytest.mark.parametrize(
  "change",
  [
    lambda text: text.replace("\n", "\r\n"),
    lambda text: "\ufeff" + text,
    lambda text: "\n".join(",".join(f'"{c}"' for c in line.split(",")) for line in text.split()),
    lambda text: text.replace("-1,1,", "-1,True,").replace("-1,0,", "-1,False,"),
  ],
  ids=["crlf", "bom", "quotes", "booleans"],
)
def test_harmless_variants_of_the_positions_file_read_the_same(sample, change):
  path = sample.folder / "spatial" / "tissue_positions.csv"
  want = read(sample)
  path.write_text(change(path.read_text()), newline="")
  np.testing.assert_array_equal(read(sample).positions_px, want.positions_px)


def test_a_parquet_positions_file_reads_the_same(sample):
  import pandas as pd

  want = read(sample)
  path = sample.folder / "spatial" / "tissue_positions.csv"
  pd.read_csv(path).to_parquet(path.with_suffix(".parquet"))
  path.unlink()
  np.testing.assert_array_equal(read(sample).positions_px, want.positions_px)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("transposed", [True, False])
def test_matrix_market_reads_the_same_counts_as_hdf5(sample, packed, transposed):
  want = read(sample)
  (sample.folder / "filtered_feature_bc_matrix.h5").unlink()
  sample.write_matrix_market(packed=packed, transposed=transposed)
  got = read(sample)
  np.testing.assert_array_equal(got.counts.toarray(), want.counts.toarray())
  assert got.gene_ids.tolist() == want.gene_ids.tolist()


def test_with_both_the_hdf5_matrix_is_read_and_a_disagreement_is_an_error(sample):
  sample.write_matrix_market()
  assert any("is not" in note for note in read(sample).notes)
  features = sample.folder / "filtered_feature_bc_matrix" / "features.tsv.gz"
  features.unlink()
  features.with_suffix("").write_text("ENSG00000000001\tA\tGene Expression\n")
  assert problem_of(sample).field == "shape"


def test_of_a_raw_matrix_only_spots_on_tissue_are_kept(sample):
  want = read(sample)
  (sample.folder / "filtered_feature_bc_matrix.h5").unlink()
  sample.write_h5("raw_feature_bc_matrix.h5")
  got = read(sample)
  assert got.spot_ids.tolist() == want.spot_ids.tolist()
  assert got.dropped["spots beside the tissue"] == 8


@pytest.mark.parametrize(
  ("rename", "rule"),
  [
    (lambda b: b.removesuffix("-1"), True),
    (lambda b: b.replace("-", "."), True),
    (lambda b: "S1_" + b, True),
    (lambda b: b.lower(), True),
    (lambda b: b, False),
  ],
)
def test_barcodes_with_another_suffix_prefix_or_case_still_join(sample, rename, rule):
  want = read(sample)
  on = on_tissue(sample)
  sample.write_h5(barcodes=[rename(b) for b in np.array(sample.barcodes)[on].tolist()])
  got = read(sample)
  np.testing.assert_array_equal(got.positions_px, want.positions_px)
  assert any("joined by barcode alone" in note for note in got.notes) == rule


def test_counts_of_another_section_are_refused_with_names_of_both_sides(sample):
  sample.write_h5(barcodes=[f"{n:016d}-9" for n in range(on_tissue(sample).sum())])
  problem = problem_of(sample)
  assert "0000000000000000-9" in str(problem)
  assert sample.barcodes[0] in str(problem)


@pytest.mark.parametrize("side", [8, 16])
def test_counts_of_more_than_one_spot_in_a_hundred_without_a_position_are_refused(tmp_path, side):
  sample = raw_folders.visium(tmp_path / "S2" / "outs", side=side)
  sample.write_positions(lines=sample.position_lines()[2:])
  if side == 8:  # 2 of 56
    with pytest.raises(BadInputError, match="54 of the 56 spots"):
      read(sample)
  else:  # 2 of 240
    assert read(sample).dropped["spots without a position"] == 2


def test_the_order_of_barcodes_in_the_positions_file_does_not_matter(sample):
  want = read(sample)
  sample.write_positions(lines=sample.position_lines()[::-1])
  got = read(sample)
  assert got.spot_ids.tolist() == want.spot_ids.tolist()
  np.testing.assert_array_equal(got.positions_px, want.positions_px)


def test_spots_without_counts_are_dropped_and_counted(sample):
  sample.counts[3] = 0
  sample.write_h5()
  section = read(sample)
  assert section.dropped["spots without counts"] == 1
  assert sample.barcodes[3] not in section.spot_ids.tolist()


def test_features_that_are_no_genes_are_dropped_and_counted(sample):
  kinds = ["Gene Expression"] * 28 + ["Antibody Capture"] * 2
  ids = ["DEPRECATED_ENSG1", *sample.gene_ids[1:]]
  names = [*sample.symbols[:5], "NegControlProbe_1", "HLA-A", *sample.symbols[7:]]
  sample.write_h5(feature_type=kinds, id=ids, name=names)
  section = read(sample)
  assert section.counts.shape[1] == 26
  assert section.dropped["features that are not genes"] == 2
  assert section.dropped["control probes"] == 2
  assert "HLA-A" in section.gene_symbols.tolist()


def test_x_and_y_exchanged_are_recognised_by_the_image(tmp_path):
  sample = raw_folders.visium(tmp_path / "S1" / "outs", side=8)
  sample.x_px += 400  # a wide slide
  sample.width += 400
  for kind, scale in (("hires", HIRES), ("lowres", raw_folders.LOWRES)):
    sample.write_image(f"spatial/tissue_{kind}_image.png", scale)
  sample.write_positions()
  assert read(sample).num_spots == 56
  sample.x_px, sample.y_px = sample.y_px, sample.x_px
  sample.write_positions()
  assert "swapped" in problem_of(sample).fix


def test_a_few_spots_outside_the_image_are_dropped_and_counted(sample):
  sample.x_px[0] = -5.0
  sample.write_positions()
  assert read(sample).dropped["spots outside the image"] == 1


def test_positions_in_pixels_of_the_hires_image_are_refused_with_the_factor(sample):
  sample.x_px, sample.y_px = sample.x_px * HIRES, sample.y_px * HIRES
  sample.write_positions()
  problem = problem_of(sample)
  assert problem.field == "pixel positions"
  assert "5 times too small" in problem.fix


def test_shuffled_pixel_columns_are_refused(sample):
  order = np.random.default_rng(0).permutation(len(sample.x_px))
  sample.x_px, sample.y_px = sample.x_px[order], sample.y_px[order]
  sample.write_positions()
  assert "shuffled" in problem_of(sample).expected


def test_a_rotated_slide_has_the_same_scale(sample):
  want = read(sample).um_per_px
  sample.x_px, sample.y_px = sample.height - sample.y_px, sample.x_px
  sample.width, sample.height = sample.height, sample.width
  for kind, scale in (("hires", HIRES), ("lowres", raw_folders.LOWRES)):
    sample.write_image(f"spatial/tissue_{kind}_image.png", scale)
  sample.write_positions()
  assert read(sample).um_per_px == pytest.approx(want)


def test_a_full_image_that_lies_otherwise_than_the_small_one_is_refused(sample):
  pixels = np.full((sample.height, sample.width, 3), 240, np.uint8)
  pixels[: sample.height // 2, : sample.width // 3] = (150, 80, 160)
  small = Image.fromarray(pixels).resize(
    (round(sample.width * raw_folders.HIRES), round(sample.height * raw_folders.HIRES))
  )
  small.save(sample.folder / "spatial" / "tissue_hires_image.png")
  table = sample.folder.parent / "metadata.csv"
  table.write_text(f"section,image\n{sample.folder.parent.name},full.png\n")
  for turned, how in ((pixels, ""), (pixels[::-1, ::-1], "180 degrees"), (255 - pixels, "")):
    Image.fromarray(turned).save(sample.folder / "full.png")
    said = readers.Words(positions="as_is")
    assert readers.read_sections(sample.folder, table, said)[0].image.kind == "full"
    if turned is not pixels:
      with pytest.raises(BadInputError, match=f"correlation of -.*{how}.*as_is"):
        readers.read_sections(sample.folder, table)


def test_a_part_of_the_image_is_not_taken_for_a_smaller_copy(sample):
  Image.new("RGB", (sample.width // 2, sample.height)).save(sample.folder / "full.png")
  table = sample.folder.parent / "metadata.csv"
  table.write_text(f"section,image\n{sample.folder.parent.name},full.png\n")
  with pytest.raises(BadInputError, match="size") as caught:
    readers.read_sections(sample.folder, table)
  assert "image_scale" not in caught.value.fix


def test_an_image_of_the_wrong_size_is_refused_and_its_scale_suggested(sample):
  sample.write_image("half.png", 0.5)
  problem = problem_of(sample, metadata=metadata(sample, image="half.png"))
  assert problem.field == "size"
  assert "image_scale 0.4" in problem.fix or "image_scale 0.5" in problem.fix
  section = read(sample, metadata=metadata(sample, image="half.png", image_scale=0.5))
  assert section.um_per_px == pytest.approx(2 / PX_PER_UM)


def positions(edit):
  """Rewrites every line of the positions file; `edit` gets the line and its number."""

  def change(sample):
    lines = [edit(line, n) for n, line in enumerate(sample.position_lines())]
    sample.write_positions(lines=lines)

  return change


@pytest.mark.parametrize(
  ("change", "field"),
  [
    (positions(lambda line, n: line.rpartition(",")[0] if n == 3 else line), "line 5"),
    (positions(lambda line, n: line.replace(",", ";")), "line 2"),
    (positions(lambda line, n: "same" + line[18:] if n < 2 else line), "spots"),
    (positions(lambda line, n: line.replace("-1,1,", "-1,7,")), "column in_tissue"),
    (positions(lambda line, n: line.replace("-1,1,", "-1,0,")), "spots"),
    (positions(lambda line, n: line.rpartition(",")[0] + ",NA"), "column pxl_col_in_fullres"),
    (positions(lambda line, n: line + "E7018922192"), "column pxl_col_in_fullres"),
    (lambda s: s.write_scalefactors(tissue_hires_scalef="0.2"), "tissue_hires_scalef"),
    (lambda s: s.write_scalefactors(tissue_hires_scalef=0), "tissue_hires_scalef"),
    (lambda s: s.write_scalefactors(tissue_hires_scalef=None), "tissue_hires_scalef"),
    (lambda s: s.write_scalefactors(spot_diameter_fullres=-1), "spot_diameter_fullres"),
    (lambda s: (s.folder / "spatial/scalefactors_json.json").write_text('{"a": NaN}'), "JSON"),
    (lambda s: (s.folder / "spatial/tissue_positions.csv").unlink(), "positions"),
    (lambda s: (s.folder / "filtered_feature_bc_matrix.h5").unlink(), "counts"),
    (lambda s: (s.folder / "filtered_feature_bc_matrix.h5").write_bytes(b""), "file"),
    (lambda s: s.write_h5(shape=np.array([10**9, 10**9])), "shape"),
    (lambda s: s.write_h5(indices=np.full(2000, 10**6)), "indices"),
    (lambda s: s.write_h5(id=["ENSG1"]), "shape"),
  ],
)  # fmt: skip
def test_each_mistake_is_named_by_its_field(sample, change, field):
  change(sample)
  assert problem_of(sample).field == field


def cut(path):
  path.write_bytes(path.read_bytes()[:-30])


def replace_line(path, number, line):
  lines = path.read_text().split("\n")
  lines[number] = line
  path.write_text("\n".join(lines))


@pytest.mark.parametrize(
  ("change", "field"),
  [
    (lambda folder: (folder / "barcodes.tsv").unlink(), "barcodes.tsv"),
    (lambda folder: replace_line(folder / "features.tsv", 0, ""), "header"),
    (lambda folder: cut(folder / "matrix.mtx"), "entries"),
    (lambda folder: replace_line(folder / "matrix.mtx", 0, "hello"), "header"),
    (lambda folder: replace_line(folder / "matrix.mtx", 2, "30 56 99999999999"), "entries"),
    (lambda folder: replace_line(folder / "matrix.mtx", 3, "31 1 5"), "entries"),
    (lambda folder: replace_line(folder / "matrix.mtx", 3, "1 1 -5"), "counts"),
  ],
)
def test_each_mistake_in_matrix_market_files_is_named(sample, change, field):
  (sample.folder / "filtered_feature_bc_matrix.h5").unlink()
  sample.write_matrix_market(packed=False)
  change(sample.folder / "filtered_feature_bc_matrix")
  assert problem_of(sample).field == field


@pytest.mark.parametrize(
  ("values", "found"),
  [
    (lambda v: np.log1p(v), "log-normalised"),
    (lambda v: -v, "negative"),
    (lambda v: np.where(np.arange(len(v)) == 7, np.nan, v), "not numbers"),
    (lambda v: v * 1.5, "scaled"),
    (lambda v: v - np.linspace(0.1, 0.9, len(v)), "not whole"),
  ],
)
def test_anything_but_raw_counts_is_refused_with_spot_and_gene(sample, values, found):
  with h5py.File(sample.folder / "filtered_feature_bc_matrix.h5") as file:
    data = file["matrix/data"][()]
  sample.write_h5(data=values(data.astype(float)))
  problem = problem_of(sample)
  assert found in problem.found
  assert "gene ENSG" in problem.found


def test_whole_numbers_stored_as_floats_are_counts(sample):
  want = read(sample)
  with h5py.File(sample.folder / "filtered_feature_bc_matrix.h5") as file:
    arrays = {
      k: file["matrix"][k][()].astype(float) for k in ("data", "indices", "indptr", "shape")
    }
  sample.write_h5(**arrays)
  np.testing.assert_array_equal(read(sample).counts.toarray(), want.counts.toarray())


def test_a_zero_that_is_stored_is_no_detection(sample):
  want = read(sample)
  on = on_tissue(sample)
  dense = sample.counts[on]
  sample.write_h5(
    data=dense.ravel().astype(np.int32),
    indices=np.tile(np.arange(dense.shape[1]), dense.shape[0]),
    indptr=np.arange(dense.shape[0] + 1) * dense.shape[1],
  )
  assert read(sample).counts.nnz == want.counts.nnz


def test_without_scalefactors_the_lattice_gives_the_scale_and_there_is_no_image(sample):
  (sample.folder / "spatial" / "scalefactors_json.json").unlink()
  section = read(sample)
  assert section.um_per_px == pytest.approx(1 / PX_PER_UM)
  assert section.image is None


def test_file_names_with_the_name_of_the_sample_in_front_are_found(sample):
  path = sample.folder / "filtered_feature_bc_matrix.h5"
  path.rename(path.with_name("GSM1_filtered_feature_bc_matrix.h5"))
  positions = sample.folder / "spatial" / "tissue_positions.csv"
  positions.rename(positions.with_name("GSM1_tissue_positions.csv"))
  assert read(sample).num_spots == 56


def test_a_packed_spatial_folder_asks_to_be_unpacked(sample):
  shutil.rmtree(sample.folder / "spatial")
  (sample.folder / "spatial.tar.gz").write_bytes(b"\x1f\x8b")
  assert "unpack" in problem_of(sample).fix


def test_a_table_of_barcodes_beside_the_counts_becomes_a_label(sample):
  lines = [f"{b}\t{'NA' if n % 2 else 'WM'}" for n, b in enumerate(sample.barcodes[:10])]
  (sample.folder / "layers.tsv").write_text("barcode\tlayer\n" + "\n".join(lines) + "\n")
  section = read(sample)
  assert section.labels["layer"][:4].tolist() == ["WM", "", "WM", ""]
  assert not section.labels["layer"][10:].any()
  assert section.num_spots == 56
  assert "label layer: 51 spots without one" in section.notes
  assert not any("label" in reason for reason in section.dropped)  # they are not left out


def test_the_metadata_table_gives_donor_species_and_labels(sample):
  rows = [f"{b},leaf{n % 3},c{n % 2}" for n, b in enumerate(sample.barcodes)]
  (sample.folder.parent / "labels.csv").write_text("barcode,leaf,compartment\n" + "\n".join(rows))
  table = metadata(sample, donor="007", labels="labels.csv", species="mouse")
  section = read(sample, metadata=table)
  assert section.donor_id == "007"
  assert section.species == "mouse"
  assert section.labels["leaf"][:4].tolist() == ["leaf0", "leaf1", "leaf2", "leaf0"]
  assert set(section.labels) == {"leaf", "compartment"}


def test_labels_of_another_section_are_refused(sample):
  (sample.folder.parent / "labels.csv").write_text("barcode,leaf\nxyz,1\n")
  problem = problem_of(sample, metadata=metadata(sample, labels="labels.csv"))
  assert "xyz" in str(problem)


def test_real_visium_sections_read_with_all_their_counts(real_data):
  (cortex,) = readers.read_sections(real_data / "visium_dlpfc_151510")
  assert cortex.counts.shape == (4634, 500)
  assert cortex.counts.sum() == 4_652_972
  layers, sizes = np.unique(cortex.labels["layer"], return_counts=True)
  assert dict(zip(layers.tolist(), sizes.tolist(), strict=True))["Layer3"] == 1774
  (embryo,) = readers.read_sections(real_data / "visium_cytassist_mouse_embryo")
  assert embryo.counts.sum() == 3_085_005
  assert embryo.species == "mouse"


def test_the_real_lattice_agrees_with_the_spot_diameter_of_space_ranger(real_data):
  blank = "fixtures/visium_mouse_brain_100genes"
  with pytest.raises(BadInputError, match="image is blank"):
    readers.read_sections(real_data / blank)
  for name in ("visium_dlpfc_151510", blank):
    (section,) = readers.read_sections(real_data / name, words=readers.Words(image="none"))
    factors = json.loads((real_data / name / "spatial/scalefactors_json.json").read_text())
    full = section.um_per_px
    assert full == pytest.approx(65 / factors["spot_diameter_fullres"], rel=0.1)


def test_real_fixtures_that_do_not_fit_together_are_refused(real_data):
  fixtures = real_data / "fixtures"
  cases = {
    "visium_v1_tiny/section1": "shape",
  }
  for name, field in cases.items():
    with pytest.raises(BadInputError) as problem:
      readers.read_sections(fixtures / name)
    assert problem.value.field == field, name
    assert "\n" not in str(problem.value)


def test_a_real_raw_matrix_of_space_ranger_one_reads_once_the_other_copy_is_away(
  real_data, tmp_path
):
  source = real_data / "fixtures" / "visium_v1_tiny" / "section1" / "outs"
  shutil.copytree(source / "spatial", tmp_path / "S" / "spatial")
  shutil.copy(source / "raw_feature_bc_matrix.h5", tmp_path / "S")
  (section,) = readers.read_sections(tmp_path / "S")
  assert section.counts.shape[1] == 49
  assert 0 < section.num_spots < 50
