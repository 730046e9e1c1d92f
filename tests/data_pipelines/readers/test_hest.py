"""HEST-1k: files that all call their section "ST", slides beside them, and patches without one."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from data_pipelines import inspect, readers
from data_pipelines.patch_image import PatchImage
from data_pipelines.preparation import section_image
from data_pipelines.problems import BadInputError
from tests.data_pipelines import hest_folder
from tests.data_pipelines.hest_folder import UM_PER_PX


@pytest.fixture(scope="module")
def written(tmp_path_factory):
  folder = tmp_path_factory.mktemp("study") / "hest"
  return folder, hest_folder.write(folder)


@pytest.fixture
def made(written, tmp_path):
  """A copy of the folder in `tmp_path`; what was written into it."""
  shutil.copytree(written[0], tmp_path / "hest")
  return written[1]


def read(path, **options):
  return {one.section_id: one for one in readers.read_sections(path, **options)}


def test_samples_are_called_as_their_files_and_read_whole(made, tmp_path, capsys):
  for place in ("hest", "hest/st", "hest/wsis"):
    assert set(read(tmp_path / place)) == {"MEND1", "TENX1", "TENX2"}
  section = read(tmp_path / "hest")["TENX1"]
  np.testing.assert_array_equal(section.counts.toarray(), made["TENX1"].X.toarray())
  np.testing.assert_allclose(section.positions_px, made["TENX1"].obsm["spatial"])
  assert (section.species, section.donor_id) == ("human", "A_study_of_TENX_Patient_1")
  assert (section.image.path.name, section.image.kind) == ("TENX1.tif", "full")
  assert inspect.report(tmp_path / "hest") == 0
  assert "3 sections, 3 donors, 0 with problems" in capsys.readouterr().out


def test_the_lattice_decides_the_scale_and_not_the_wrong_column_of_the_table(made, tmp_path):
  for name, pitch in (("TENX1", "100"), ("TENX2", "100"), ("MEND1", "200")):
    section = read(tmp_path / "hest")[name]
    assert section.um_per_px * section.image_scale == pytest.approx(UM_PER_PX, rel=1e-3)
    assert f"{pitch} um" in section.um_per_px_source


def test_what_a_table_says_of_each_sample_may_also_lie_in_files_of_their_own(tmp_path):
  hest_folder.write(tmp_path / "hest", table=False)
  section = read(tmp_path / "hest")["MEND1"]
  assert section.species == "human"
  assert "200 um" in section.um_per_px_source


def test_of_pooled_squares_the_estimated_pixel_decides(made, tmp_path):
  table = pd.read_csv(tmp_path / "hest" / "HEST_v1_1_0.csv")
  table["st_technology"], table["inter_spot_dist"] = "Xenium", 58.0
  table.to_csv(tmp_path / "hest" / "HEST_v1_1_0.csv", index=False)
  section = read(tmp_path / "hest")["TENX1"]
  assert section.um_per_px == pytest.approx(UM_PER_PX * 1.01)


def test_a_lattice_that_contradicts_the_table_is_refused_until_a_length_is_given(made, tmp_path):
  folder = tmp_path / "hest"
  table = pd.read_csv(folder / "HEST_v1_1_0.csv")
  table["pixel_size_um_estimated"] = 1.0
  table.to_csv(folder / "HEST_v1_1_0.csv", index=False)
  with pytest.raises(BadInputError, match="um_per_px in the metadata table"):
    read(folder)
  (folder / "metadata.csv").write_text(
    "section,um_per_px\n" + "".join(f"{name},2.0\n" for name in made)
  )
  assert read(folder)["TENX1"].um_per_px_source == "given"


def test_without_any_table_a_visium_sample_is_read_by_its_own_lattice(made, tmp_path):
  (tmp_path / "hest" / "HEST_v1_1_0.csv").unlink()
  (source,) = [s for s in readers.open_sections(tmp_path / "hest") if s.section_id == "TENX1"]
  assert source.read().um_per_px == pytest.approx(UM_PER_PX, rel=1e-3)


def test_patches_are_joined_by_barcode_and_show_what_the_slide_shows(made, tmp_path):
  section = read(tmp_path / "hest")["TENX2"]
  want = made["TENX2"].obs_names[::2]
  assert section.spot_ids.tolist() == want.tolist()
  assert section.dropped["spots without a patch"] == 18
  assert isinstance(section.image, PatchImage)
  assert section.um_per_px == pytest.approx(2 * UM_PER_PX, rel=1e-3)
  slide = hest_folder.picture(made["TENX2"])
  own = list(section.image.crops(section.positions_px, 80 / section.um_per_px, 20))
  for patch, (x, y) in zip(own, made["TENX2"].obsm["spatial"][::2], strict=True):
    pixels = np.asarray(slide.crop((int(x) - 20, int(y) - 20, int(x) + 20, int(y) + 20)))
    np.testing.assert_allclose(patch.mean((0, 1)), pixels.mean((0, 1)), atol=2.0)
  whole = section.image.thumbnail(200)
  assert whole.shape[2] == 3
  assert 0.2 < (whole.min(-1) < 250).mean() < 0.9


def test_a_corpus_opens_patches_again(made, tmp_path):
  image = read(tmp_path / "hest")["TENX2"].image
  entry = json.loads(json.dumps(section_image.described(image, tmp_path)))
  again = section_image.opened({"section_id": "TENX2", "image": entry}, tmp_path)
  np.testing.assert_array_equal(again.thumbnail(100), image.thumbnail(100))


def test_patches_that_are_not_around_their_spots_are_refused(made, tmp_path):
  path = tmp_path / "hest" / "patches" / "TENX2.h5"
  path.unlink()
  hest_folder.patches(path, made["TENX2"], shift=22.0 * np.arange(18)[:, None])
  with pytest.raises(BadInputError, match="top left corner"):
    read(tmp_path / "hest")


def test_patches_of_another_sample_are_refused_with_names_of_both(made, tmp_path):
  path = tmp_path / "hest" / "patches" / "TENX2.h5"
  path.unlink()
  hest_folder.patches(path, made["TENX1"])
  with pytest.raises(BadInputError, match="same section"):
    read(tmp_path / "hest")


def test_without_slide_and_patches_the_small_image_of_the_file_is_used(made, tmp_path):
  (tmp_path / "hest" / "wsis" / "TENX1.tif").unlink()
  section = read(tmp_path / "hest")["TENX1"]
  assert section.image.kind == "downscaled_fullres"
  assert section.um_per_px * section.image_scale == pytest.approx(UM_PER_PX, rel=1e-3)
