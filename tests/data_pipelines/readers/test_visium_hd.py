"""Bins of Visium HD: which are read, how they are pooled, and files that contradict each other."""

import shutil

import numpy as np
import pytest

from data_pipelines import readers
from data_pipelines.problems import BadInputError
from data_pipelines.readers import feature_barcode
from tests.data_pipelines import raw_folders


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  return raw_folders.visium_hd(tmp_path_factory.mktemp("hd") / "S1" / "outs")


@pytest.fixture
def sample(made, tmp_path):
  """Width of the bins -> the same folder, free to be changed."""
  shutil.copytree(made[2].folder.parents[1], tmp_path / "S1" / "outs")
  return {
    um: raw_folders.dataclasses.replace(
      bins, folder=tmp_path / "S1" / "outs" / "binned_outputs" / bins.folder.name
    )
    for um, bins in made.items()
  }


def read(folder, **row):
  """The section of a folder, with this row of a metadata table."""
  table = folder / "t.csv"
  table.write_text(",".join(["section", *row]) + "\n" + ",".join(["S1", *map(str, row.values())]))
  (section,) = readers.read_sections(folder, table)
  return section


def study(sample):
  return sample[2].folder.parents[3]


def problem_of(sample, **row):
  with pytest.raises(BadInputError) as problem:
    read(study(sample), **row)
  return problem.value


def on_tissue(bins):
  return bins.counts[bins.in_tissue.astype(bool)]


def test_bins_of_8_um_are_read_unless_others_are_asked_for(sample):
  section = read(study(sample))
  assert (section.section_id, section.platform, section.spot_um) == ("S1", "visium_hd", 8.0)
  assert section.counts.sum() == on_tissue(sample[8]).sum()
  rows = dict(zip(sample[8].barcodes, sample[8].counts, strict=True))
  for spot, row in zip(section.spot_ids, section.counts.toarray(), strict=True):
    np.testing.assert_array_equal(row, rows[spot])
  assert section.um_per_px * raw_folders.HIRES == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize("pitch", [2, 16, 32, 48])
def test_counts_of_a_pitch_are_the_sums_of_its_bins_whichever_bins_are_read(sample, pitch):
  section = read(study(sample), pitch_um=pitch)
  across = pitch // 2
  rows, columns = section.array_positions.T
  finest = sample[2]
  wanted = {}
  for r, c, inside, counts in zip(
    finest.rows // across, finest.columns // across, finest.in_tissue, finest.counts, strict=True
  ):
    if inside:
      wanted[r, c] = wanted.get((r, c), 0) + counts
  assert section.num_spots == sum(counts.sum() > 0 for counts in wanted.values())
  for r, c, row in zip(rows, columns, section.counts.toarray(), strict=True):
    np.testing.assert_array_equal(row, wanted[r, c])


def test_a_pooled_spot_lies_in_the_middle_of_its_bins(sample):
  section = read(study(sample), pitch_um=16)
  coarse = sample[16]
  places = dict(zip(coarse.barcodes, zip(coarse.x_px, coarse.y_px, strict=True), strict=True))
  for um in (2, 8):
    only = sample[um].folder
    section = read(only, pitch_um=16)
    for spot, place in zip(section.spot_ids, section.positions_px, strict=True):
      np.testing.assert_allclose(place / raw_folders.HIRES, places[spot], rtol=1e-6)


def test_a_pitch_that_bins_do_not_make_up_becomes_the_nearest_and_is_said(sample):
  section = read(study(sample), pitch_um=55)
  assert section.spot_um == 56.0
  assert any("55 um was asked for" in note for note in section.notes)


def test_bins_wider_than_the_pitch_are_refused(sample):
  shutil.rmtree(sample[2].folder)
  shutil.rmtree(sample[8].folder)
  problem = problem_of(sample, pitch_um=4)
  assert (problem.field, problem.found) == ("pitch_um", "4")


@pytest.mark.parametrize("inner", [".", "S1", "S1/outs", "S1/outs/binned_outputs"])
def test_a_folder_above_or_inside_finds_the_section(sample, inner):
  (source,) = readers.open_sections(study(sample) / inner)
  assert (source.section_id, source.reader) == ("S1", "visium_hd")


def test_a_folder_of_bins_by_itself_is_those_bins(sample):
  section = read(sample[16].folder)
  assert section.spot_um == 16.0
  assert section.counts.sum() == on_tissue(sample[16]).sum()


def test_bins_in_a_folder_of_another_name_are_known_by_their_scale_factors(sample):
  folder = sample[16].folder.rename(study(sample) / "download")
  for file in ("filtered_feature_bc_matrix.h5", "spatial/scalefactors_json.json"):
    (folder / file).rename((folder / file).with_name(f"GSM1_{(folder / file).name}"))
  (section,) = readers.read_sections(folder)
  assert (section.section_id, section.spot_um) == ("download", 16.0)


def test_reading_piece_by_piece_changes_nothing(sample, monkeypatch):
  whole = read(study(sample), pitch_um=16)
  shutil.rmtree(sample[16].folder)
  shutil.rmtree(sample[8].folder)
  monkeypatch.setattr(feature_barcode, "_ENTRIES", 500)
  pieces = read(study(sample), pitch_um=16)
  np.testing.assert_array_equal(pieces.spot_ids, whole.spot_ids)
  assert (pieces.counts != whole.counts).nnz == 0


def test_of_a_raw_matrix_bins_beside_the_tissue_are_left_out_and_counted(sample):
  bins = sample[8]
  (bins.folder / "filtered_feature_bc_matrix.h5").unlink()
  bins.write_h5("raw_feature_bc_matrix.h5")
  section = read(study(sample))
  assert section.counts.sum() == on_tissue(bins).sum()
  assert section.dropped["bins of 8 um beside the tissue"] == (bins.in_tissue == 0).sum()


def test_labels_of_bins_become_the_most_common_one_of_a_spot(sample):
  bins = sample[8]
  odd = np.where((bins.rows % 2 == 1) & (bins.columns % 2 == 1), "odd", "even")
  lines = [f"{b},{side}" for b, side in zip(bins.barcodes, odd, strict=True)]
  (study(sample) / "labels.csv").write_text("\n".join(["barcode,side", *lines]))
  shutil.rmtree(sample[16].folder)
  section = read(study(sample), pitch_um=16, labels="labels.csv")
  assert set(section.labels["side"]) == {"even"}
  assert set(read(study(sample), labels="labels.csv").labels["side"]) == {"even", "odd"}


def swapped(bins):
  order = np.arange(len(bins.rows))
  order[:2] = 1, 0
  bins.write_parquet(array_row=bins.rows[order], array_col=bins.columns[order])


@pytest.mark.parametrize(
  ("change", "field"),
  [
    (swapped, "row 1"),
    (lambda b: b.write_parquet(in_tissue=np.full(len(b.rows), 2)), "column in_tissue"),
    (lambda b: b.write_parquet(in_tissue=np.zeros(len(b.rows), int)), "column in_tissue"),
    (lambda b: b.write_parquet(array_row=["x"] * len(b.rows)), "column array_row"),
    (lambda b: b.write_parquet(barcode=b.barcodes[:1] * len(b.rows)), "row 2"),
    (lambda b: (b.folder / "spatial/tissue_positions.parquet").write_bytes(b"PAR1"), "parquet"),
    (lambda b: b.write_scalefactors(bin_size_um=16.0), "bin_size_um"),
    (lambda b: b.write_scalefactors(bin_size_um=8.0, microns_per_pixel=0.5), "microns_per_pixel"),
    (
      lambda b: b.write_h5(barcodes=[f"s_008um_90000_{n:05d}-1" for n in range(b.in_tissue.sum())]),
      "bins of 8 um",
    ),
    (lambda b: b.write_h5(barcodes=b.barcodes[:1] * b.in_tissue.sum()), "bins of 8 um"),
    (lambda b: (b.folder / "filtered_feature_bc_matrix.h5").unlink(), "counts"),
  ],
)
def test_each_mistake_is_named_by_its_field(sample, change, field):
  change(sample[8])
  problem = problem_of(sample)
  assert problem.field == field
  assert "\n" not in str(problem)


def test_real_bins_that_are_all_zero_or_of_another_section_are_refused(real_data):
  found = {}
  for name in ("visium_hd_tiny", "visium_hd_016um_mixed"):
    with pytest.raises(BadInputError) as problem:
      readers.read_sections(real_data / "fixtures" / name)
    found[name] = problem.value.found
  assert "all zero" in found["visium_hd_tiny"]
  assert "2,053 of 2,695" in found["visium_hd_016um_mixed"]


def test_the_pitch_may_be_said_for_all_sections(sample):
  (section,) = readers.read_sections(study(sample), words=readers.Words(pitch_um=32.0))
  assert section.spot_um == 32.0
