"""Space Ranger's files as archives and pipelines pass them on: renamed, packed, lumped together."""

import gzip
import shutil

import numpy as np
import pytest

from data_pipelines import readers
from data_pipelines.problems import BadInputError
from tests.data_pipelines import raw_folders


@pytest.fixture
def sample(tmp_path):
  return raw_folders.visium(tmp_path / "made" / "S1" / "outs")


def packed(path, place):
  place.write_bytes(gzip.compress(path.read_bytes()))


def loose(sample, folder, prefix, *, market=True):
  """Every file of a sample beside the others, each gzipped and with its name before it."""
  folder.mkdir(exist_ok=True)
  if market:
    sample.write_matrix_market(packed=False)
    for path in (sample.folder / "filtered_feature_bc_matrix").iterdir():
      packed(path, folder / f"{prefix}{path.name}.gz")
    shutil.rmtree(sample.folder / "filtered_feature_bc_matrix")
  else:
    name = "filtered_feature_bc_matrix.h5"
    shutil.copy(sample.folder / name, folder / f"{prefix}{name}")
  for path in (sample.folder / "spatial").iterdir():
    packed(path, folder / f"{prefix}{path.name}.gz")


def same(got, want):
  assert got.spot_ids.tolist() == want.spot_ids.tolist()
  assert (got.counts != want.counts).nnz == 0
  np.testing.assert_allclose(got.positions_um, want.positions_um)
  assert got.um_per_px == pytest.approx(want.um_per_px)
  np.testing.assert_array_equal(got.image.pixels(), want.image.pixels())


@pytest.mark.parametrize("market", [True, False])
def test_loose_gzipped_files_with_a_prefix_are_one_section_with_its_image(sample, tmp_path, market):
  (want,) = readers.read_sections(sample.folder)
  loose(sample, tmp_path / "GSM1", "GSM1_S1_", market=market)
  (got,) = readers.read_sections(tmp_path / "GSM1")
  assert got.section_id == "GSM1"
  same(got, want)


def test_a_series_of_samples_in_one_folder_is_as_many_sections(sample, tmp_path):
  other = raw_folders.visium(tmp_path / "made" / "S2" / "outs", seed=1)
  wanted = {"GSM1_S1": sample, "GSM2_S2": other}
  wanted = {name: readers.read_sections(one.folder)[0] for name, one in wanted.items()}
  loose(sample, tmp_path / "GSE1", "GSM1_S1_")
  loose(other, tmp_path / "GSE1", "GSM2_S2_")
  # The platform's part of a name may be left out in some of them.
  for path in (tmp_path / "GSE1").glob("GSM2_S2_*json*"):
    path.rename(path.with_name(path.name.replace("GSM2_S2_", "GSM2_")))
  (tmp_path / "GSE1" / "metadata.csv").write_text("section,donor\nGSM1_S1,d\n")
  found = readers.open_sections(tmp_path / "GSE1")
  assert {one.section_id: one.donor_id for one in found} == {"GSM1_S1": "d", "GSM2_S2": "GSM2_S2"}
  for one in found:
    same(one.read(), wanted[one.section_id])


def test_matrices_of_two_samples_beside_one_table_of_positions_are_refused(sample):
  path = sample.folder / "filtered_feature_bc_matrix.h5"
  for name in ("A", "B"):
    shutil.copy(path, path.with_name(f"{name}_{path.name}"))
  path.unlink()
  with pytest.raises(BadInputError, match="every section into its own folder"):
    readers.read_sections(sample.folder)


def test_a_gzipped_hdf5_file_asks_to_be_unpacked(sample):
  path = sample.folder / "filtered_feature_bc_matrix.h5"
  packed(path, path.with_name(f"{path.name}.gz"))
  path.unlink()
  with pytest.raises(BadInputError, match="gunzip filtered_feature_bc_matrix.h5.gz"):
    readers.read_sections(sample.folder)


def test_downloads_of_several_samples_are_told_apart_by_their_prefixes(sample, tmp_path):
  other = raw_folders.visium(tmp_path / "made" / "S2" / "outs", seed=1)
  wanted = {"A": sample, "B": other}
  wanted = {name: readers.read_sections(one.folder)[0] for name, one in wanted.items()}
  folder = tmp_path / "downloads"
  folder.mkdir()
  for name, one in (("A", sample), ("B", other)):
    counts = "filtered_feature_bc_matrix.h5"
    shutil.copy(one.folder / counts, folder / f"{name}_{counts}")
    (folder / f"{name}_spatial.tar.gz").write_bytes(b"")
  assert [one.section_id for one in readers.open_sections(folder)] == ["A", "B"]
  for one in readers.open_sections(folder):
    with pytest.raises(BadInputError, match="unpack it first"):
      one.read()
  for name, one in (("A", sample), ("B", other)):
    (folder / f"{name}_spatial.tar.gz").unlink()
    shutil.copytree(one.folder / "spatial", folder / f"{name}_spatial")
  for one in readers.read_sections(folder):
    same(one, wanted[one.section_id])


def test_an_image_is_found_in_any_case_and_in_a_folder_that_was_unpacked_twice(sample):
  (want,) = readers.read_sections(sample.folder)
  pixels = want.image.pixels()
  hires = sample.folder / "spatial" / "tissue_hires_image.png"
  hires.rename(hires.with_name("Tissue_Hires_Image.PNG"))
  shutil.move(sample.folder / "spatial", sample.folder / "inner")
  (sample.folder / "spatial").mkdir()
  shutil.move(sample.folder / "inner", sample.folder / "spatial" / "spatial")
  (got,) = readers.read_sections(sample.folder)
  assert got.image.kind == "hires"
  np.testing.assert_array_equal(got.image.pixels(), pixels)


def test_the_folder_of_the_matrix_stands_for_its_section(sample):
  sample.write_matrix_market()
  folder = sample.folder / "filtered_feature_bc_matrix"
  assert [one.section_id for one in readers.open_sections(folder)] == ["S1"]


def test_counts_that_are_a_broken_link_are_not_replaced_by_others(sample):
  path = sample.folder / "filtered_feature_bc_matrix.h5"
  sample.write_h5("raw_feature_bc_matrix.h5")
  path.unlink()
  path.symlink_to("nowhere.h5")
  (source,) = readers.open_sections(sample.folder)
  assert source.fingerprint()
  with pytest.raises(BadInputError, match="broken link"):
    source.read()


def test_cells_that_space_ranger_segmented_are_named_as_not_read(tmp_path):
  (tmp_path / "filtered_feature_cell_matrix.h5").write_bytes(b"x")
  with pytest.raises(BadInputError, match="cells that Space Ranger segmented"):
    readers.open_sections(tmp_path)


@pytest.fixture
def aggregated(tmp_path):
  """Two slides of one design, as `spaceranger aggr` writes them: they share their barcodes."""
  made = [raw_folders.visium(tmp_path / "made" / f"S{n}" / "outs", seed=n) for n in (1, 2)]
  made[1].barcodes = made[0].barcodes
  for one in made:
    one.write_h5()
    one.write_positions()
  wanted = [readers.read_sections(one.folder)[0] for one in made]
  outs = tmp_path / "aggr" / "outs"
  both = raw_folders.visium(outs)
  shutil.rmtree(outs / "spatial")
  both.barcodes = [name.replace("-1", f"-{n}") for n in (1, 2) for name in made[0].barcodes]
  both.counts = np.concatenate([one.counts for one in made])
  both.in_tissue = np.concatenate([one.in_tissue for one in made])
  both.write_h5()
  lines = [line for one in made for line in one.position_lines()]
  lines = [
    ",".join([n, *line.split(",")[1:]]) for n, line in zip(both.barcodes, lines, strict=True)
  ]
  names = "barcode,in_tissue,array_row,array_col,pxl_row_in_fullres,pxl_col_in_fullres"
  (outs / "aggr_tissue_positions.csv").write_text("\n".join([names, *lines]) + "\n")
  (outs / "aggregation.csv").write_text("library_id,molecule_h5\nS1,a.h5\nS2,b.h5\n")
  for n, one in enumerate(made, 1):
    shutil.copytree(one.folder / "spatial", outs / "spatial" / f"S{n}")
    (outs / "spatial" / f"S{n}" / "tissue_positions.csv").unlink()
  return outs, wanted


def test_slides_that_were_aggregated_are_read_as_the_sections_they_are(aggregated):
  outs, wanted = aggregated
  for place in (outs.parent, outs):
    found = readers.read_sections(place)
    assert [one.section_id for one in found] == ["S1", "S2"]
    for got, want in zip(found, wanted, strict=True):
      assert [name[:-2] for name in got.spot_ids] == [name[:-2] for name in want.spot_ids]
      assert (got.counts != want.counts).nnz == 0
      np.testing.assert_allclose(got.positions_um, want.positions_um)
      np.testing.assert_array_equal(got.image.pixels(), want.image.pixels())


def test_the_table_of_aggregated_positions_is_never_taken_for_one_of_a_slide(aggregated):
  outs, _ = aggregated
  (outs / "aggr_tissue_positions.csv").rename(outs / "spatial" / "aggr_tissue_positions.csv")
  assert len(readers.read_sections(outs)) == 2
  path = outs / "spatial" / "aggr_tissue_positions.csv"
  path.rename(path.with_name("tissue_positions.csv"))
  with pytest.raises(BadInputError, match="more than once"):
    readers.read_sections(outs)


def test_without_the_table_of_slides_the_files_of_each_slide_are_asked_for(aggregated):
  outs, _ = aggregated
  (outs / "aggregation.csv").unlink()
  with pytest.raises(BadInputError, match="output folders of the slides"):
    readers.open_sections(outs)


def with_forks(folder):
  """As a folder that a Mac packed: beside every file another that is hidden, and all of these
  again."""
  for path in [path for path in folder.rglob("*") if path.is_file()]:
    fork = path.with_name(f"._{path.name}")
    again = folder / "__MACOSX" / fork.relative_to(folder)
    again.parent.mkdir(parents=True, exist_ok=True)
    for place in (fork, again):
      place.write_bytes(b"\x00\x05\x16\x07" + b"\x00" * 99)


def test_what_a_mac_leaves_beside_files_is_no_section_and_none_of_its_files(tmp_path):
  raw_folders.visium(tmp_path / "S" / "outs").write_matrix_market()
  raw_folders.visium_hd(tmp_path / "H", bins_um=(16,))
  raw_folders.legacy_st(tmp_path / "L", names=("A1",))
  raw_folders.xenium(tmp_path / "X")
  before = readers.read_sections(tmp_path)
  with_forks(tmp_path)
  after = readers.read_sections(tmp_path)
  assert [(s.section_id, s.counts.sum(), s.unused_images) for s in before] == [
    (s.section_id, s.counts.sum(), s.unused_images) for s in after
  ]
  assert len(after) == 4


def test_a_path_may_be_written_as_windows_does(tmp_path):
  sample = raw_folders.visium(tmp_path / "S" / "outs")
  (tmp_path / "images").mkdir()
  sample.write_image("../../images/he.png")
  (tmp_path / "metadata.csv").write_text("section,image\nS,images\\he.png\n")
  (section,) = readers.read_sections(tmp_path)
  assert section.image.path.name == "he.png"


@pytest.mark.parametrize(
  ("content", "fix"),
  [
    (b"section;um_per_px\r\nS;0,5\r\n", "write decimals with a point: 0.5"),
    (b"PK\x03\x04\x14\x00\xbd\xff workbook", "save it as CSV"),
  ],
)
def test_what_a_spreadsheet_wrote_is_refused_with_what_to_write_instead(tmp_path, content, fix):
  raw_folders.visium(tmp_path / "S" / "outs")
  (tmp_path / "metadata.csv").write_bytes(content)
  with pytest.raises(BadInputError, match=fix):
    readers.read_sections(tmp_path)
