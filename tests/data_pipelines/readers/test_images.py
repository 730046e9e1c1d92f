"""Every image that is there is used, or it is said why not."""

import numpy as np
import pytest
from PIL import Image

from data_pipelines import readers
from data_pipelines.readers.annotated import contents, sections
from data_pipelines.readers.annotated.sections import Choices
from tests.data_pipelines import annotated, raw_folders


@pytest.fixture
def sample(tmp_path):
  return raw_folders.visium(tmp_path / "S1" / "outs")


def unused(folder, **words):
  (section,) = readers.read_sections(folder, words=readers.Words(**words))
  return dict(line.split(": not used, ", 1) for line in section.unused_images)


def test_of_a_space_ranger_folder_every_other_image_has_its_reason(sample):
  for name in ("S1.TIF", "spatial/aligned_fiducials.jpg", "spatial/cytassist_image.tiff"):
    raw_folders.textured(30, 20).save(sample.folder / name)
  (sample.folder / "he.ndpi").symlink_to(sample.folder / "nowhere.ndpi")
  found = unused(sample.folder)
  assert set(found) == {
    "S1.TIF", "aligned_fiducials.jpg", "cytassist_image.tiff", "he.ndpi",
    "tissue_lowres_image.png",
  }  # fmt: skip
  assert found["tissue_lowres_image.png"] == "tissue_hires_image.png is finer"
  assert found["he.ndpi"] == "a broken link"
  assert "not named" in found["S1.TIF"]
  assert unused(sample.folder, image="none")["S1.TIF"] == "no image is wanted"


def test_images_without_a_scale_are_said_where_none_is_used(sample):
  (sample.folder / "spatial" / "scalefactors_json.json").unlink()
  (section,) = readers.read_sections(sample.folder)
  assert section.image is None
  assert any("no tissue_hires_scalef" in note for note in section.notes)


def test_of_a_legacy_folder_images_of_other_sections_are_not_counted(tmp_path):
  array = raw_folders.legacy_st(tmp_path, names=("A1", "A2"))
  (array.folder / "images").mkdir()
  for name in ("a1_HE.JPG", "A2_HE.jpg", "A11.jpg"):
    raw_folders.textured(30, 20).save(array.folder / "images" / name)
  sections_ = {section.section_id: section for section in readers.read_sections(tmp_path)}
  (line,) = sections_["A1"].unused_images
  assert line.startswith("a1_HE.JPG: not used")


def library(section, **images):
  """An AnnData with these images, of which the small one has a scale."""
  adata = annotated.adata(section, library="S")
  adata.uns["spatial"]["S"]["images"] = images
  adata.uns["spatial"]["S"]["scalefactors"]["tissue_hires_scalef"] = 0.2
  return sections.sections_of(contents.of_object(adata), Choices())[0]


def test_an_image_of_full_size_needs_no_factor_and_is_the_finest():
  section = annotated.section()
  small, full = annotated.picture(section), annotated.picture(section, 1.0)
  full = np.asarray(Image.fromarray(small).resize(np.multiply(small.shape[1::-1], 5)))
  found = library(section, hires=small, fullres=full, mask=np.zeros((3, 4)))
  assert (found.image.kind, found.image_scale) == ("fullres", 1.0)
  assert found.unused_images == (
    "mask: not used, no scale factor tissue_mask_scalef",
    "hires: not used, fullres is finer",
  )
  other = library(section, hires=small, fullres=full[:, :150])  # not the size of the small one
  assert other.image.kind == "hires"


def test_an_image_is_found_in_any_case_and_without_a_library_around_it(tmp_path):
  adata = annotated.adata(annotated.section(), image=annotated.picture(annotated.section()))
  ((name, library),) = adata.uns["spatial"].items()
  shouted = {"images": {"HIRES": library["images"]["hires"]}}
  for spatial in ({name: library | shouted}, dict(library)):
    adata.uns["spatial"] = spatial
    adata.write_h5ad(tmp_path / "file.h5ad")
    (read,) = readers.read_sections(tmp_path)
    assert read.image.kind.lower() == "hires"
    assert not read.unused_images
  assert read.section_id == "file"


def test_an_image_that_a_file_names_and_that_is_away_is_said(tmp_path):
  section = annotated.section()
  adata = annotated.adata(section, library="S")
  adata.uns["spatial"]["S"]["metadata"] = {"source_image_path": "/nowhere/he.tif"}
  (found,) = sections.sections_of(contents.of_object(adata), Choices())
  assert any("/nowhere/he.tif: not used" in note for note in found.notes)


def test_pictures_anywhere_else_in_a_file_are_said_and_those_that_are_read_are_not(tmp_path):
  section = annotated.section()
  picture = annotated.picture(section, 0.4)
  adata = annotated.adata(section, image=picture)
  adata.uns["image"] = adata.uns["spatial"]["he"] = picture
  adata.uns["colours"] = np.zeros((9, 3))
  adata.write_h5ad(tmp_path / "S.h5ad")
  with contents.opened(tmp_path / "S.h5ad") as stored:
    for found in (contents.of_object(adata), stored):
      (one,) = sections.sections_of(found, Choices())
      assert one.image.kind == "hires"
      assert sorted(line.partition(":")[0] for line in one.unused_images) == [
        "uns['image']", "uns['spatial']['he']"
      ]  # fmt: skip
