import numpy as np
import pytest

from data_pipelines import readers
from data_pipelines.preparation import section_image
from data_pipelines.problems import BadInputError
from tests.data_pipelines import annotated, hand_made


def entry_of(image, corpus):
  return {"section_id": "s", "image": section_image.described(image, corpus)}


def test_an_image_inside_an_h5ad_file_is_opened_again(tmp_path):
  section = annotated.section()
  adata = annotated.adata(section, image=annotated.picture(section))
  adata.write_h5ad(tmp_path / "tissue.h5ad")
  image = readers.open_sections(tmp_path / "tissue.h5ad")[0].read().image
  entry = entry_of(image, tmp_path / "corpus")
  assert entry["image"]["path"] == "../tissue.h5ad"
  again = section_image.opened(entry, tmp_path / "corpus")
  np.testing.assert_array_equal(again.pixels(), image.pixels())
  entry["image"]["inside"] += "x"
  with pytest.raises(BadInputError, match=r"tissue.h5ad: .*x: found nothing"):
    section_image.opened(entry, tmp_path / "corpus")


def test_a_corpus_reached_by_a_link_finds_its_slides(tmp_path):
  image = hand_made.picture(tmp_path, "A1")
  (tmp_path / "deep" / "corpus").mkdir(parents=True)
  (tmp_path / "link").symlink_to(tmp_path / "deep" / "corpus")
  for corpus in (tmp_path / "link", tmp_path / "deep" / "corpus"):
    entry = entry_of(image, corpus)
    assert entry["image"]["path"] == "../../A1.png"
    assert section_image.opened(entry, tmp_path / "link").width_px == image.width_px
