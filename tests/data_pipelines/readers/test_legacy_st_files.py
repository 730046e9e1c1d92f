"""Legacy arrays whose files lie beside each other, as STNet, GEO and others hand them out."""

import gzip
import shutil

import numpy as np
import pytest
from PIL import Image

from data_pipelines import readers
from data_pipelines.problems import BadInputError
from tests.data_pipelines import raw_folders


@pytest.fixture
def array(tmp_path):
  return raw_folders.legacy_st(tmp_path / "made", names=("A1", "A2"))


def save_slide(path):
  noise = np.random.default_rng(0).integers(0, 256, (24, 20, 3), np.uint8)
  Image.fromarray(noise).resize((2000, 2400)).save(path)


def packed(path, text):
  path.write_bytes(gzip.compress(text.encode()))


def stnet(array, folder, *, table=True):
  """STNet: counts of the whole array, positions of the spots on tissue, labels with Mac line ends
  under a header that is off by one, and BT for BC in some names."""
  folder.mkdir()
  on = slice(0, 30)
  spots = list(zip(array.spots, array.pixel_x, array.pixel_y, strict=True))[on]
  for old, patient, replicate in (("A1", "23287", "C1"), ("A2", "23287", "C2")):
    name = f"{patient}_{replicate}"
    shutil.copy(array.folder / "counts" / f"{old}.tsv.gz", folder / f"BC{name}_stdata.tsv.gz")
    lines = [",X,Y", *(f"{spot},{x},{y}" for spot, x, y in spots)]
    packed(folder / f"spots_BT{name}.csv.gz", "\n".join(lines))
    rows = [f"{replicate}_{s}\t{s.replace('x', chr(9))}\tL1\ttumor" for s, _, _ in spots]
    packed(folder / f"BC{name}_Coords.tsv.gz", "\r".join(["x\ty\tlab\ttumor", *rows]))
    save_slide(folder / f"HE_BT{name}.jpg")
  if table:
    (folder / "metadata.csv").write_text(
      "type,patient,replicate,histology_image,count_matrix,spot_coordinates,tumor_annotation\n"
      "HER2,P7,C1,,BC23287_C1_stdata.tsv.gz,,\nHER2,P7,C2,,BC23287_C2_stdata.tsv.gz,,\n"
    )
  return folder


def read(folder, **options):
  return {one.section_id: one for one in readers.read_sections(folder, **options)}


def test_stnet_reads_with_its_positions_labels_images_and_patients(array, tmp_path):
  found = read(stnet(array, tmp_path / "stnet"))
  assert {name: one.donor_id for name, one in found.items()} == {
    "BC23287_C1": "P7", "BC23287_C2": "P7"
  }  # fmt: skip
  section = found["BC23287_C1"]
  np.testing.assert_array_equal(section.counts.toarray(), array.counts["A1"][:30])
  np.testing.assert_allclose(section.positions_px[:, 0], array.pixel_x[:30])
  assert section.um_per_px == pytest.approx(1.0, rel=0.03)
  assert section.image.path.name == "HE_BT23287_C1.jpg"
  assert set(section.labels["pathologist"]) == {"tumor"}
  assert section.dropped["spots without a position"] == 6


def test_without_its_table_the_patient_is_taken_from_the_names_and_that_is_said(array, tmp_path):
  found = read(stnet(array, tmp_path / "stnet", table=False))
  assert {one.donor_id for one in found.values()} == {"BC23287"}
  assert any("by the section's name" in note for note in found["BC23287_C1"].notes)


def test_a_table_of_the_user_beside_another_name_still_counts(array, tmp_path):
  folder = stnet(array, tmp_path / "stnet")
  (tmp_path / "mine.csv").write_text("section,donor\nBC23287_C1,d\n")
  assert read(folder, metadata=tmp_path / "mine.csv")["BC23287_C1"].donor_id == "d"


def test_a_series_of_geo_reads_as_its_sections(array, tmp_path):
  folder = tmp_path / "GSE144240"
  folder.mkdir()
  for old, sample, replicate in (("A1", "GSM11", "rep1"), ("A2", "GSM12", "rep2")):
    name = f"P2_ST_{replicate}"
    shutil.copy(
      array.folder / "counts" / f"{old}.tsv.gz", folder / f"{sample}_{name}_stdata.tsv.gz"
    )
    text = (array.folder / "spots" / f"{old}_selection.tsv").read_text()
    packed(folder / f"{sample}_spot_data-selection-{name}.tsv.gz", text)
    save_slide(folder / f"{sample}_{name}.jpg")
  found = read(folder)
  assert {name: one.donor_id for name, one in found.items()} == {
    "GSM11_P2_ST_rep1": "P2_ST", "GSM12_P2_ST_rep2": "P2_ST"
  }  # fmt: skip
  np.testing.assert_array_equal(found["GSM12_P2_ST_rep2"].counts.toarray(), array.counts["A2"])
  assert all(one.image is not None for one in found.values())


def test_a_section_without_positions_among_others_is_named(array, tmp_path):
  folder = stnet(array, tmp_path / "stnet")
  (folder / "spots_BT23287_C2.csv.gz").unlink()
  sources = {one.section_id: one for one in readers.open_sections(folder)}
  assert sources["BC23287_C1"].read().num_spots == 30
  with pytest.raises(BadInputError, match="no position file"):
    sources["BC23287_C2"].read()


def test_the_folders_of_her2st_s_archive_are_known_and_images_in_any_case(array, tmp_path):
  for old, new in (("counts", "count-matrices"), ("spots", "spot-selections")):
    (array.folder / old).rename(array.folder / new)
  (array.folder / "images" / "HE").mkdir(parents=True)
  save_slide(array.folder / "images" / "HE" / "A1.JPG")
  assert read(array.folder)["A1"].image.path.name == "A1.JPG"
