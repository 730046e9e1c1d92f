"""CosMx and MERSCOPE: cells and transcripts pooled to squares; what their tables get wrong."""

import numpy as np
import pandas as pd
import pytest

from data_pipelines import readers
from data_pipelines.problems import BadInputError
from data_pipelines.readers import columns, count_table
from tests.data_pipelines import raw_folders

PX_UM = 0.12028


def merscope(made, transcripts=False):
  order = np.random.default_rng(0).permutation(len(made.ids))
  if transcripts:
    table = made.transcripts("gene", "global_x", "global_y")
    table.to_csv(made.folder / "detected_transcripts.csv")
    return
  counts = pd.DataFrame(made.counts, pd.Index(made.ids, name="cell"), made.genes)
  counts.assign(**{"Blank-1": 5}).to_csv(made.folder / "cell_by_gene.csv")
  x, y = made.positions_um.T
  places = pd.DataFrame({"fov": 0, "volume": 9.5, "center_x": x, "center_y": y}, made.ids)
  places.iloc[order].to_csv(made.folder / "cell_metadata.csv")


def cosmx(made, transcripts=False, millimetres=True, first=("fov", "cell_ID")):
  x, y = made.positions_um.T
  if transcripts:
    table = made.transcripts("target", "x_global_px", "y_global_px", PX_UM)
    table.assign(fov=1, cell_ID=3).to_csv(made.folder / "S1_tx_file.csv.gz", index=False)
    places = pd.DataFrame({"FOV": [1, 2], "x_global_px": [0, 4256], "y_global_px": [0, 0]})
    for axis in "xy":
      places[f"{axis}_global_mm"] = places[f"{axis}_global_px"] * PX_UM / 1000
    places.to_csv(made.folder / "S1_fov_positions_file.csv", index=False)
    return
  number = np.arange(len(made.ids))
  key = pd.DataFrame({"fov": number % 3 + 1, "cell_ID": number // 3 + 1})
  counts = pd.concat([key[list(first)], pd.DataFrame(made.counts, columns=made.genes)], axis=1)
  outside = pd.DataFrame(1, range(3), counts.columns).assign(fov=[1, 2, 3], cell_ID=0)
  counts = pd.concat([outside, counts.assign(NegPrb1=4)]).fillna(1)
  counts.to_csv(made.folder / "S1_exprMat_file.csv", index=False)
  px = pd.DataFrame({"CenterX_global_px": x / PX_UM, "CenterY_global_px": y / PX_UM})
  px = px.assign(CenterX_local_px=1, CenterY_local_px=1)
  if millimetres:
    px = px.assign(CenterX_global_mm=x / 1000, CenterY_global_mm=y / 1000)
  pd.concat([key, px], axis=1).to_csv(made.folder / "S1_metadata_file.csv", index=False)


@pytest.fixture
def made(tmp_path):
  return raw_folders.cell_table(tmp_path / "study" / "S1")


def read(made, **row):
  table = made.folder.parent / "table.csv"
  table.write_text(",".join(["section", *row]) + "\n" + ",".join(["S1", *map(str, row.values())]))
  (section,) = readers.read_sections(made.folder.parent, table)
  return section


def problem_of(made, **row):
  with pytest.raises(BadInputError) as problem:
    read(made, **row)
  return problem.value


def check_counts(section, made, pitch):
  genes = [section.gene_symbols.tolist().index(gene) for gene in made.genes]
  wanted = made.pooled(pitch)
  assert section.num_spots == len(wanted)
  for place, row in zip(section.array_positions.tolist(), section.counts.toarray(), strict=True):
    np.testing.assert_array_equal(row[genes], wanted[tuple(place)])


@pytest.mark.parametrize("write", [merscope, cosmx])
@pytest.mark.parametrize("transcripts", [False, True])
@pytest.mark.parametrize("pitch", [55, 100])
def test_a_spot_is_the_sum_of_what_lies_in_its_square(made, write, transcripts, pitch, monkeypatch):
  monkeypatch.setattr(columns, "_ROWS", 100)
  monkeypatch.setattr(count_table, "_ENTRIES", 200)
  write(made, transcripts=transcripts)
  section = read(made, pitch_um=pitch)
  assert section.platform == write.__name__
  assert section.section_id == "S1"
  check_counts(section, made, pitch)
  assert section.um_per_px == 1.0
  centres = (section.array_positions[:, ::-1] + 0.5) * pitch
  np.testing.assert_allclose(section.positions_um, centres)


def test_the_columns_that_name_a_cell_of_cosmx_come_in_any_order(made):
  cosmx(made, first=("cell_ID", "fov"))
  check_counts(read(made), made, 55)


def test_pixels_of_cosmx_without_a_length_are_refused_and_the_length_may_be_given(made):
  cosmx(made, millimetres=False)
  assert problem_of(made).field == "micrometres per pixel"
  check_counts(read(made, um_per_px=PX_UM), made, 55)


@pytest.mark.parametrize("write", [merscope, cosmx])
def test_an_image_that_nothing_registers_is_refused(made, write):
  write(made)
  (made.folder / "he.png").write_bytes(b"png")
  assert problem_of(made, image="he.png").field == "registration"


def edit(made, ending, change):
  (path,) = made.folder.glob(f"*{ending}")
  change(pd.read_csv(path, dtype=str, keep_default_na=False)).to_csv(path, index=False)


@pytest.mark.parametrize(
  ("ending", "change", "field"),
  [
    ("metadata.csv", lambda t: t.drop(columns="center_x"), "column center_x"),
    ("metadata.csv", lambda t: t.assign(center_x="?"), "column center_x"),
    ("metadata.csv", lambda t: t.assign(center_x="1e9"), "positions"),
    ("metadata.csv", lambda t: pd.concat([t, t.head(2)]), "cells"),
    ("metadata.csv", lambda t: t.head(3), "cells"),
    ("metadata.csv", lambda t: t.head(0), "rows"),
    ("by_gene.csv", lambda t: pd.concat([t, t.head(2)]), "cells"),
    ("by_gene.csv", lambda t: t.head(0), "counts"),
    ("by_gene.csv", lambda t: t.assign(GENE1="0.5"), "counts"),
    ("by_gene.csv", lambda t: t.assign(GENE1="-1"), "counts"),
  ],
)
def test_each_mistake_is_named_by_its_field(made, ending, change, field):
  merscope(made)
  edit(made, ending, change)
  problem = problem_of(made)
  assert problem.field == field
  assert "\n" not in str(problem)


def divide(made, write, transcripts, **columns):
  """Writes tables of the cells with more columns, one value a cell."""
  write(made, transcripts=transcripts)
  ending = "t*.csv*" if transcripts else "metadata*.csv"
  (path,) = [p for p in made.folder.glob(f"*{ending}") if "positions" not in p.name]
  table = pd.read_csv(path)
  if transcripts:
    cell = np.repeat(*np.nonzero(made.counts)[:1], made.counts[made.counts > 0])
  else:
    cell = np.arange(len(table))
    if write is merscope:
      cell = pd.Index(made.ids).get_indexer(table.iloc[:, 0])
  table = table.assign(**{name: values[cell] for name, values in columns.items()})
  table.to_csv(path, index=False)


@pytest.mark.parametrize("write", [merscope, cosmx])
@pytest.mark.parametrize("transcripts", [False, True])
@pytest.mark.parametrize("column", ["slide_ID", "Run_Tissue_name", "mouse"])
def test_each_slide_of_a_table_of_cells_is_a_section(made, write, transcripts, column):
  slide = np.arange(len(made.ids)) % 2 + 1
  divide(made, write, transcripts, **{column: slide})
  found = {section.section_id: section for section in readers.read_sections(made.folder)}
  assert set(found) == {"S1_1", "S1_2"}
  for number in (1, 2):
    own = slide == number
    part = raw_folders.CellTable(
      made.folder, made.ids, made.genes, made.counts[own], made.positions_um[own]
    )
    check_counts(found[f"S1_{number}"], part, 55)


def test_what_lies_apart_is_one_section_and_said_unless_a_column_is_named(made):
  left = np.where(made.positions_um[:, 0] < 200, "left", "right")
  divide(made, merscope, False, patient=left)
  (section,) = readers.read_sections(made.folder)
  assert any("--library_key=patient" in note for note in section.notes)
  found = readers.open_sections(made.folder, words=readers.Words(library_key="patient"))
  assert [source.section_id for source in found] == ["S1_left", "S1_right"]
  with pytest.raises(BadInputError, match="column donor"):
    readers.read_sections(made.folder, words=readers.Words(library_key="donor"))


def test_a_table_of_slides_names_each_or_all_of_them(made):
  divide(made, merscope, False, slide=np.arange(len(made.ids)) % 2)
  table = made.folder.parent / "table.csv"
  table.write_text("section,donor\nS1,d1\nS1_1,d2\n")
  found = {s.section_id: s.donor_id for s in readers.open_sections(made.folder, table)}
  assert found == {"S1_0": "d1", "S1_1": "d2"}


def test_cells_of_two_slides_that_share_their_names_are_told_apart_by_both_tables(made):
  slide = np.arange(len(made.ids)) % 2 + 1
  divide(made, cosmx, False, slide_ID=slide)
  paths = [made.folder / f"S1_{kind}_file.csv" for kind in ("metadata", "exprMat")]
  places, counts = map(pd.read_csv, paths)
  number = {"fov": 1, "cell_ID": np.arange(len(slide)) // 2 + 1}
  places.assign(**number).to_csv(paths[0], index=False)
  counts = counts[counts["cell_ID"] > 0].assign(**number)
  counts.to_csv(paths[1], index=False)
  assert "in a folder of its own" in problem_of(made).fix
  counts.insert(0, "slide_ID", slide)
  counts.to_csv(paths[1], index=False)
  found = readers.read_sections(made.folder)
  assert sum(section.counts.sum() for section in found) == made.counts.sum()


def test_a_missing_table_of_cells_is_named(made):
  for write, ending in ((merscope, "cell_metadata.csv"), (cosmx, "metadata_file.csv")):
    write(made)
    (path,) = made.folder.glob(f"*{ending}")
    path.unlink()
    assert problem_of(made, um_per_px=1).field == "cells"
    for file in made.folder.iterdir():
      file.unlink()


def test_labels_of_cells_become_the_most_common_one_of_a_square(made):
  merscope(made)
  lines = [f"{i},{'in' if n % 4 else 'out'}" for n, i in enumerate(made.ids)]
  (made.folder / "labels.csv").write_text("\n".join(["cell,kind", *lines]))
  section = read(made, labels="labels.csv", pitch_um=1000)
  assert section.labels["kind"].tolist()[-1] == "in"


def test_real_tables_are_read_with_all_their_counts_or_refused(real_data, tmp_path):
  fixtures = real_data / "fixtures"
  with pytest.raises(BadInputError, match="micrometres per pixel"):
    readers.read_sections(fixtures / "cosmx_tiny")
  (tmp_path / "t.csv").write_text("section,um_per_px\nlung_p9s1,0.18\n")
  (section,) = readers.read_sections(fixtures / "cosmx_tiny", tmp_path / "t.csv")
  assert section.counts.sum() == 7
  with pytest.raises(BadInputError, match="all zero"):
    readers.read_sections(fixtures / "merscope_tiny")
