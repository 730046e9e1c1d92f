"""Xenium: cells and transcripts pooled to squares, on the H&E that is registered to them."""

import json

import numpy as np
import pandas as pd
import pytest

from data_pipelines import readers
from data_pipelines.problems import BadInputError
from tests.data_pipelines import raw_folders


@pytest.fixture
def made(tmp_path):
  return raw_folders.xenium(tmp_path / "study" / "S1")


def read(made, **row):
  table = made.folder.parent / "metadata.csv"
  table.write_text(",".join(["section", *row]) + "\n" + ",".join(["S1", *map(str, row.values())]))
  (section,) = readers.read_sections(made.folder.parent)
  return section


def problem_of(made, **row):
  with pytest.raises(BadInputError) as problem:
    read(made, **row)
  return problem.value


def check_counts(section, wanted):
  assert section.num_spots == len(wanted)
  for place, row in zip(section.array_positions.tolist(), section.counts.toarray(), strict=True):
    np.testing.assert_array_equal(row, wanted[tuple(place)])


@pytest.mark.parametrize("pitch", [None, 55, 100, 20])
def test_a_spot_is_the_sum_of_the_cells_in_its_square(made, pitch):
  section = read(made, **({"pitch_um": pitch} if pitch else {}))
  check_counts(section, made.pooled(pitch or 55))
  assert section.spot_um == (pitch or 55)
  centres = (section.array_positions[:, ::-1] + 0.5) * (pitch or 55)
  np.testing.assert_allclose(section.positions_um, centres)
  assert section.gene_ids[3] == "ENSG00000000003"
  assert section.dropped["features that are not genes"] == 1


def test_cells_of_a_text_table_are_read_the_same(made, tmp_path):
  text = raw_folders.xenium(tmp_path / "other" / "S1", text=True)
  assert (read(text).counts != read(made).counts).nnz == 0


def transcripts(made, **changed):
  table = made.transcripts("feature_name", "x_location", "y_location")
  table["qv"] = 20.0
  for name, value in changed.items():
    table[name] = value
  for name in ("cell_feature_matrix.h5", "cells.parquet"):
    (made.folder / name).unlink(missing_ok=True)
  return table


@pytest.mark.parametrize("kind", ["bytes", "text", "csv"])
def test_without_cells_transcripts_of_genes_that_are_certain_are_counted(made, kind):
  table = transcripts(made)
  doubtful = table.head(40).assign(qv=19.9)
  control = table.head(30).assign(feature_name="NegControlProbe_0001")
  table = pd.concat([table, doubtful, control]).sample(frac=1, random_state=0)
  if kind == "bytes":
    table["feature_name"] = table["feature_name"].str.encode("utf-8")
  if kind == "csv":
    table.to_csv(made.folder / "transcripts.csv.gz", index=False)
  else:
    table.to_parquet(made.folder / "transcripts.parquet")
  section = read(made)
  genes = np.argsort([made.genes.index(gene) for gene in section.gene_symbols])
  wanted = made.pooled(55)
  assert section.counts.sum() == made.counts.sum()
  for place, row in zip(section.array_positions.tolist(), section.counts.toarray(), strict=True):
    np.testing.assert_array_equal(row[genes], wanted[tuple(place)])


def test_features_that_are_marked_as_no_genes_are_not_counted(made):
  table = transcripts(made)
  table["is_gene"] = table["feature_name"] != "GENE0"
  table.to_parquet(made.folder / "transcripts.parquet")
  section = read(made)
  assert section.counts.sum() == made.counts[:, 1:].sum()


MATRIX = np.array([[0.0, 2.0, 30.0], [2.0, 0.0, -40.0], [0.0, 0.0, 1.0]])
"""From pixels of the H&E image to those of morphology: a quarter turn, mirrored, twice as wide."""


def write_image(made, where, side=1400):
  raw_folders.textured(side, side).save(where / "S1_he_image.ome.tif", format="TIFF")
  np.savetxt(where / "S1_he_imagealignment.csv", MATRIX, delimiter=",")


@pytest.mark.parametrize("place", ["inside", "above"])
def test_spots_lie_where_the_registration_puts_them_on_the_image(made, place):
  made.positions_um += 100
  x, y = made.positions_um.T
  pd.DataFrame({"cell_id": made.ids, "x_centroid": x, "y_centroid": y}).to_parquet(
    made.folder / "cells.parquet"
  )
  write_image(made, made.folder if place == "inside" else made.folder.parent)
  section = read(made, pitch_um=20)
  assert section.um_per_px == pytest.approx(2 * 0.2125)
  um = (section.array_positions[:, ::-1] + 0.5) * 20
  back = np.c_[section.positions_px, np.ones(len(um))] @ MATRIX.T
  np.testing.assert_allclose(back[:, :2] * 0.2125, um)
  check_counts(section, made.pooled(20))


def test_an_image_without_registration_is_said_to_be_unused_and_refused_where_it_is_named(made):
  write_image(made, made.folder)
  (made.folder / "S1_he_imagealignment.csv").unlink()
  section = read(made)
  assert section.image is None
  assert any("S1_he_image.ome.tif is not used" in note for note in section.notes)
  assert problem_of(made, image="S1_he_image.ome.tif").field == "registration"


def test_an_image_of_another_section_is_refused(made):
  write_image(made, made.folder, side=100)
  assert problem_of(made).field == "positions"


@pytest.mark.parametrize(
  ("change", "field"),
  [
    (lambda f: (f / "cells.parquet").unlink(), "cells"),
    (lambda f: (f / "cells.parquet").write_bytes(b"PAR1"), "parquet"),
    (
      lambda f: pd.DataFrame({"cell_id": ["a"], "x_centroid": [1.0]}).to_parquet(
        f / "cells.parquet"
      ),
      "column y_centroid",
    ),
    (
      lambda f: pd.DataFrame(
        {"cell_id": ["a", "b"], "x_centroid": [1.0, np.nan], "y_centroid": 2.0}
      ).to_parquet(f / "cells.parquet"),
      "column x_centroid",
    ),
    (
      lambda f: pd.DataFrame(
        {"cell_id": ["a", "a"], "x_centroid": 1.0, "y_centroid": 2.0}
      ).to_parquet(f / "cells.parquet"),
      "cells",
    ),
    (
      lambda f: pd.DataFrame(
        {"cell_id": ["a", "b"], "x_centroid": 1.0, "y_centroid": 2.0}
      ).to_parquet(f / "cells.parquet"),
      "cells",
    ),
  ],
)
def test_each_mistake_is_named_by_its_field(made, change, field):
  change(made.folder)
  problem = problem_of(made)
  assert problem.field == field
  assert "\n" not in str(problem)


def test_a_pixel_of_no_length_and_a_matrix_that_is_none_are_refused(made):
  write_image(made, made.folder)
  (made.folder / "experiment.xenium").write_text(json.dumps({"pixel_size": 0}))
  assert problem_of(made).field == "pixel_size"
  (made.folder / "experiment.xenium").unlink()
  for text in ("1,0,0\n0,1,0\n", "1,0,0\n0,0,0\n0,0,1\n", "a,b,c\n" * 3, "1,0,0\n0,1,0\n1,0,1\n"):
    (made.folder / "S1_he_imagealignment.csv").write_text(text)
    assert problem_of(made).field == "matrix"


def test_real_cells_are_pooled_with_all_their_counts(real_data):
  (section,) = readers.read_sections(real_data / "fixtures" / "xenium_tiny")
  assert section.counts.sum() == 21
  assert section.counts.shape == (3, 4)
