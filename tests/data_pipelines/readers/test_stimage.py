"""Slides of STimage-1K4M, of its three technologies."""

import numpy as np
import pandas as pd
import pytest

from data_pipelines import readers
from data_pipelines.problems import BadInputError
from tests.data_pipelines import raw_folders


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  folder = tmp_path_factory.mktemp("stimage")
  return folder, {
    kind: raw_folders.stimage(folder, f"Human_Breast_{kind}", kind)
    for kind in ("ST", "Visium", "VisiumHD")
  }


@pytest.mark.parametrize(("kind", "spot_um"), [("ST", 100.0), ("Visium", 65.0), ("VisiumHD", 16.0)])
def test_counts_and_places_of_a_spot_come_back_together(made, kind, spot_um):
  folder, spots = made
  section = next(s for s in readers.read_sections(folder) if s.section_id.endswith(f"_{kind}"))
  assert (section.platform, section.spot_um) == ("stimage", spot_um)
  assert section.um_per_px == pytest.approx(2.0, rel=1e-3)
  assert section.num_spots == len(spots[kind])
  for spot, place, row in zip(
    section.spot_ids, section.positions_px, section.counts.toarray(), strict=True
  ):
    x, y, counts = spots[kind][spot]
    np.testing.assert_allclose(place, (x, y))
    np.testing.assert_array_equal(row, counts)
  assert section.image.path.name == f"Human_Breast_{kind}.png"


def test_a_folder_inside_finds_its_slides(made):
  folder, _ = made
  for inner in ("ST", "ST/coord", "ST/gene_exp"):
    (source,) = readers.open_sections(folder / inner)
    assert source.section_id == "Human_Breast_ST"


def test_annotations_become_labels(tmp_path):
  spots = raw_folders.stimage(tmp_path, "A", "ST", image=False)
  (tmp_path / "annotation").mkdir()
  labels = pd.Series(["tumour"] * len(spots), index=list(spots), name="annotation")
  labels.to_csv(tmp_path / "annotation" / "A_anno.csv")
  (section,) = readers.read_sections(tmp_path)
  assert set(section.labels["annotation"]) == {"tumour"}
  assert section.image is None


def change_coord(folder, **columns):
  path = folder / "ST" / "coord" / "A_coord.csv"
  pd.read_csv(path, index_col=0).assign(**columns).to_csv(path)


@pytest.mark.parametrize(
  ("change", "field"),
  [
    (lambda f: change_coord(f, r=50.0), "column r"),
    (lambda f: change_coord(f, yaxis="?"), "column yaxis"),
    (lambda f: (f / "ST/gene_exp/A_count.csv").unlink(), "counts"),
    (lambda f: (f / "ST/coord/A_coord.csv").write_text(",x,y\na,1,2\n"), "column xaxis"),
    (lambda f: (f / "ST/image/A.png").write_bytes(b"no image"), "image"),
  ],
)
def test_each_mistake_is_named_by_its_field(tmp_path, change, field):
  raw_folders.stimage(tmp_path, "A", "ST")
  change(tmp_path)
  with pytest.raises(BadInputError) as problem:
    readers.read_sections(tmp_path)
  assert problem.value.field == field
