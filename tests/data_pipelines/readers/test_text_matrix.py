"""Tables of counts and of positions as text: which belong together, which way round, how long."""

import json

import numpy as np
import pandas as pd
import pytest

from data_pipelines import readers
from data_pipelines.problems import BadInputError

SPOTS = [f"{'ACGT'[n % 4]}{'ACGT'[n // 4 % 4]}{'ACGT'[n // 16]}ACGTACGTACGTA-1" for n in range(48)]
GENES = [f"GENE{n}" for n in range(25)]
COUNTS = np.random.default_rng(0).poisson(1.0, (48, 25)) + 1
ROW, COLUMN = np.divmod(np.arange(48), 8)
PX = np.stack([50.0 * (2 * COLUMN + ROW % 2), 100 * np.sqrt(0.75) * ROW], 1) / 2 + 40


def write(
  folder, counts="counts.csv", positions="positions.csv", *, genes_in_rows=False, **columns
):
  """A Visium slide at 2 um per pixel; rows of the two tables are in orders of their own."""
  folder.mkdir(parents=True, exist_ok=True)
  table = pd.DataFrame(COUNTS, SPOTS, GENES).sample(frac=1, random_state=1)
  sep = "\t" if ".tsv" in counts else ","
  (table.T if genes_in_rows else table).to_csv(folder / counts, sep=sep)
  places = pd.DataFrame(columns or {"x": PX[:, 0], "y": PX[:, 1]}, SPOTS)
  places.to_csv(folder / positions, index_label="barcode")
  return folder


def check(section):
  assert (section.platform, section.num_spots) == ("text_matrix", 48)
  for spot, place, row in zip(
    section.spot_ids, section.positions_um, section.counts.toarray(), strict=True
  ):
    np.testing.assert_array_equal(row, COUNTS[SPOTS.index(spot)])
    np.testing.assert_allclose(place, 2 * PX[SPOTS.index(spot)])


@pytest.mark.parametrize("counts", ["counts.csv", "S1_counts.tsv.gz", "S1_count_matrix.txt"])
@pytest.mark.parametrize(
  "positions", ["S1_positions.csv", "coordinates.csv", "S1.spatial_coords.txt"]
)
@pytest.mark.parametrize("genes_in_rows", [False, True])
def test_two_tables_are_a_section_whatever_they_are_called(
  tmp_path, counts, positions, genes_in_rows
):
  write(tmp_path / "S1", counts, positions, genes_in_rows=genes_in_rows)
  (section,) = readers.read_sections(tmp_path)
  assert section.section_id == "S1"
  check(section)


@pytest.mark.parametrize(
  "columns",
  [
    {"array_row": ROW, "array_col": 2 * COLUMN + ROW % 2, "pixel_x": PX[:, 0], "pixel_y": PX[:, 1]},
    {"x_um": 2 * PX[:, 0], "y_um": 2 * PX[:, 1]},
    {"imagerow": PX[:, 1], "imagecol": PX[:, 0], "in_tissue": 1},
  ],
)
def test_the_length_comes_from_the_array_or_from_the_unit_of_the_columns(tmp_path, columns):
  write(tmp_path / "S1", **columns)
  (section,) = readers.read_sections(tmp_path)
  check(section)


def test_several_pairs_of_one_folder_are_sections_of_their_own(tmp_path):
  for name in ("A", "B"):
    write(tmp_path, f"{name}_counts.csv", f"{name}_positions.csv")
  assert [s.section_id for s in readers.open_sections(tmp_path)] == ["A", "B"]


def test_positions_and_image_of_space_ranger_are_taken_from_the_folder_beside(tmp_path):
  write(tmp_path / "S1")
  (tmp_path / "S1" / "positions.csv").unlink()
  spatial = tmp_path / "S1" / "spatial"
  spatial.mkdir()
  lines = [
    f"{s},1,{r},{2 * c + r % 2},{y},{x}"
    for s, r, c, (x, y) in zip(SPOTS, ROW, COLUMN, PX, strict=True)
  ]
  (spatial / "tissue_positions_list.csv").write_text("\n".join(lines))
  (spatial / "scalefactors_json.json").write_text(json.dumps({"tissue_hires_scalef": 0.5}))
  (section,) = readers.read_sections(tmp_path)
  check(section)


def test_positions_on_no_known_lattice_need_a_length(tmp_path):
  places = np.random.default_rng(0).uniform(0, 1000, (48, 2))
  write(tmp_path / "S1", x=places[:, 0], y=places[:, 1])
  with pytest.raises(BadInputError, match="micrometres per pixel"):
    readers.read_sections(tmp_path)
  (tmp_path / "metadata.csv").write_text("section,um_per_px\nS1,0.5\n")
  (section,) = readers.read_sections(tmp_path)
  assert section.um_per_px == 0.5


@pytest.mark.parametrize(
  ("change", "field"),
  [
    (lambda f: (f / "positions.csv").write_text("barcode,a,b\ns,1,2\n"), "columns"),
    (lambda f: (f / "positions.csv").write_text("barcode,x,y\n"), "rows"),
    (lambda f: (f / "positions.csv").write_text("barcode,x,y\ns,1,2\ns,1,3\n"), "spots"),
    (lambda f: (f / "positions.csv").write_text("barcode,x,y\ns,1,?\n"), "column y"),
    (
      lambda f: write(f, positions="positions.csv", x_um=PX[:, 0], y_um=PX[:, 1] + np.nan),
      "column y_um",
    ),
    (lambda f: (f / "counts.csv").write_text(",G1,G2\ns1,1,2\ns2,3,4\n"), "spots"),
    (lambda f: (f / "counts.csv").write_text(",G1,G2\ns1,1,2\ns2,3\n"), "line 3"),
  ],
)
def test_each_mistake_is_named_by_its_field(tmp_path, change, field):
  change(write(tmp_path / "S1"))
  with pytest.raises(BadInputError) as problem:
    readers.read_sections(tmp_path)
  assert problem.value.field == field
