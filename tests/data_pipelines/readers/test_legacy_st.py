"""Legacy ST folders: HER2ST, its original repository, and what differs elsewhere."""

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest

from data_pipelines import readers
from data_pipelines.problems import BadInputError
from tests.data_pipelines import raw_folders


@pytest.fixture
def array(tmp_path):
  return raw_folders.legacy_st(tmp_path / "st")


def read(array, **options):
  return {s.section_id: s for s in readers.read_sections(array.folder, **options)}


def problem_of(array, **options):
  with pytest.raises(BadInputError) as problem:
    read(array, **options)
  return problem.value


def table(array, text):
  path = array.folder.parent / "table.csv"
  path.write_text(text)
  return path


def write_pathologist(array, name, rows, folder="pathologist"):
  (array.folder / folder).mkdir(exist_ok=True)
  path = array.folder / folder / f"{name}_labeled_coordinates.tsv"
  path.write_text("Row.names\tx\ty\tpixel_x\tpixel_y\tlabel\n" + "\n".join(rows) + "\n")


def write_warped(array, name, warped, keep=slice(None)):
  (array.folder / "clusters").mkdir(exist_ok=True)
  rows = [
    f"{n}\t0\t{a}\t{b}\t{wx}\t{wy}"
    for n, (a, b, wx, wy) in enumerate(zip(array.x, array.y, *warped, strict=True))
  ][keep]
  text = "\tlabel\tx\ty\twarped_x\twarped_y\n" + "\n".join(rows) + "\n"
  path = array.folder / "clusters" / f"{name}-cluster-annotation.tsv.gz"
  path.write_bytes(gzip.compress(text.encode()))


def test_counts_and_positions_of_a_spot_come_back_together(array):
  section = read(array)["A2"]
  assert section.spot_ids.tolist() == array.spots
  np.testing.assert_array_equal(section.counts.toarray(), array.counts["A2"])
  np.testing.assert_allclose(section.positions_px[:, 0], array.pixel_x)
  np.testing.assert_allclose(section.positions_px[:, 1], array.pixel_y)
  np.testing.assert_array_equal(section.array_positions, np.stack([array.y, array.x], 1))
  assert (section.platform, section.spot_um) == ("legacy_st", 100.0)


def test_the_scale_is_200_um_between_spots_whatever_the_jitter_of_single_spots(array):
  assert read(array)["A1"].um_per_px == pytest.approx(1.0, rel=0.02)
  array.pixel_x[0] += 900
  array.write_spots("A1")
  assert read(array)["A1"].um_per_px == pytest.approx(1.0, rel=0.02)


def test_on_a_checkerboard_the_nearest_spots_are_200_um_apart(array):
  array.x, array.y = np.array([(x, y) for y in range(9) for x in range(9) if (x + y) % 2 == 0]).T
  array.pixel_x, array.pixel_y = 100.0 * array.x, 100.0 * array.y
  array.counts["A1"] = np.ones((len(array.x), 12), int)
  array.write_counts("A1")
  array.write_spots("A1")
  sources = {s.section_id: s for s in readers.open_sections(array.folder)}
  assert sources["A1"].read().um_per_px == pytest.approx(np.sqrt(2))


def test_a_letter_and_a_digit_name_donor_and_section_and_other_names_do_not(tmp_path):
  array = raw_folders.legacy_st(tmp_path / "st", names=("A1", "A2", "MOB1"))
  assert {n: s.donor_id for n, s in read(array).items()} == {"A1": "A", "A2": "A", "MOB1": "MOB1"}


def test_rows_of_either_file_without_a_partner_are_dropped_and_counted(array):
  array.write_counts("A1", array.counts["A1"][:-2], spots=array.spots[:-2])
  section = read(array)["A1"]
  assert section.num_spots == len(array.spots) - 2
  assert section.dropped["positions without counts"] == 2


@pytest.mark.parametrize("other", ["{}.1", "{}_2"])
def test_the_spots_of_another_slide_are_not_left_out_in_silence(array, other):
  counts = array.counts["A1"]
  names = [*array.spots, *(other.format(spot) for spot in array.spots)]
  array.write_counts("A1", np.concatenate([counts, counts[::-1]]), spots=names)
  assert "section of its own" in problem_of(array).fix


def test_two_slides_are_named_and_not_the_rows_that_repeat_because_of_them(array):
  counts = array.counts["A1"]
  names = [f"{spot}_{number}" for number in (1, 2) for spot in array.spots]
  array.write_counts("A1", np.concatenate([counts, counts]), spots=names)
  lines = spot_file(array).read_text().splitlines(keepends=True)
  spot_file(array).write_text("".join([*lines, *lines[1:]]))
  assert "section of its own" in problem_of(array).fix


def test_half_of_the_spots_without_a_position_are_another_slides(array):
  keep = np.arange(36) < 18
  path = spot_file(array)
  lines = path.read_text().splitlines(keepends=True)
  path.write_text(
    "".join([lines[0], *(line for line, k in zip(lines[1:], keep, strict=True) if k)])
  )
  assert problem_of(array).field == "spots"


def test_unselected_spots_are_beside_the_tissue(array):
  array.write_spots("A1", selected=(np.arange(36) < 30).astype(int))
  section = read(array)["A1"]
  assert section.num_spots == 30
  assert section.dropped["spots beside the tissue"] == 6


def test_a_table_of_genes_by_spots_is_turned(array):
  want = read(array)["A1"]
  array.write_counts("A1", array.counts["A1"].T, spots=array.genes, genes=array.spots)
  got = read(array)["A1"]
  np.testing.assert_array_equal(got.counts.toarray(), want.counts.toarray())
  assert got.gene_ids.tolist() == want.gene_ids.tolist()


def test_a_header_without_a_name_over_the_row_names_reads_the_same(array):
  path = array.folder / "counts" / "A1.tsv.gz"
  want = read(array)["A1"].counts.toarray()
  path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).removeprefix(b"\t")))
  np.testing.assert_array_equal(read(array)["A1"].counts.toarray(), want)


def test_versions_are_stripped_and_genes_of_one_id_summed(array):
  genes = ["ENSG00000000001.2", "ENSG00000000001.3_PAR_Y", *array.genes[2:][::-1]]
  array.write_counts("A1", genes=genes)
  section = read(array)["A1"]
  assert section.gene_ids[0] == "ENSG00000000001"
  first = np.asarray(section.counts[:, [0]].todense()).ravel()
  np.testing.assert_array_equal(first, array.counts["A1"][:, :2].sum(1))
  np.testing.assert_array_equal(section.counts[:, 1:].toarray(), array.counts["A1"][:, 2:])
  assert section.gene_ids[1:].tolist() == genes[2:]
  assert section.dropped["genes listed twice (summed)"] == 1


def test_hyphenated_and_dotted_gene_names_are_kept(array):
  array.write_counts("A1", genes=["HLA-A", "MT-CO1", "AC008522.1", *array.genes[3:]])
  assert read(array)["A1"].gene_ids[:3].tolist() == ["HLA-A", "MT-CO1", "AC008522.1"]


@pytest.mark.parametrize("folder", ["pathologist", "meta"])
def test_pathologist_labels_join_by_rounded_coordinates_and_empty_rows_are_counted(array, folder):
  rows = [
    f"r\t{a + 0.04}\t{b - 0.03}\t1\t2\t{'cancer' if n % 2 else 'undetermined'}"
    for n, (a, b) in enumerate(zip(array.x, array.y, strict=True))
  ]
  write_pathologist(array, "A1", [*rows[:30], "r\t\t\t1\t2\tcancer"], folder)
  section = read(array)["A1"]
  assert section.labels["pathologist"][:4].tolist() == ["", "cancer", "", "cancer"]
  assert section.dropped["labels without coordinates"] == 1
  assert f"label pathologist: {15 + 6} spots without one" in section.notes
  assert read(array)["A2"].labels == {}


def test_labels_of_no_spot_are_refused_with_names_of_both_sides(array):
  write_pathologist(array, "A1", ["r\t90\t91\t1\t2\tcancer"])
  problem = problem_of(array)
  assert "90x91" in str(problem)
  assert "3x5" in str(problem)


def test_a_region_column_of_the_position_file_is_a_label(array):
  path = array.folder / "spots" / "A1_selection.tsv"
  lines = path.read_text().splitlines()
  lines = (
    [lines[0] + "\tregion"] + [line + "\tatrium" for line in lines[1:-1]] + [lines[-1] + "\tnan"]
  )
  path.write_text("\n".join(lines))
  assert set(read(array)["A1"].labels["region"]) == {"atrium", ""}


def test_a_spot_column_names_spots_that_share_an_array_position(array):
  path = array.folder / "spots" / "A1_selection.tsv"
  lines = path.read_text().splitlines()
  names = [*array.spots[:-1], f"{array.spots[0]}.2"]
  lines = ["spot\t" + lines[0]] + [f"{n}\t{x}" for n, x in zip(names, lines[1:], strict=True)]
  path.write_text("\n".join(lines))
  array.write_counts("A1", spots=names)
  assert read(array)["A1"].spot_ids.tolist() == names


def test_the_image_scale_of_the_table_takes_positions_to_a_smaller_image(array):
  (array.folder / "images").mkdir()
  raw_folders.textured(500, 600).save(array.folder / "images" / "A1_dark.png")
  path = table(array, "section,image,image_scale\nA1,images/A1_dark.png,0.25\n")
  section = read(array, metadata=path)["A1"]
  np.testing.assert_allclose(section.positions_px[:, 0], 0.25 * array.pixel_x)
  assert section.um_per_px == pytest.approx(4.0, rel=0.02)
  np.testing.assert_allclose(section.positions_um, section.positions_px * section.um_per_px)
  path = table(array, "section,image\nA1,images/A1_dark.png\n")
  assert "image_scale" in problem_of(array, metadata=path).fix


def test_an_image_named_as_the_section_is_found_and_one_of_another_name_is_not(array):
  (array.folder / "images").mkdir()
  raw_folders.textured(2000, 2400).save(array.folder / "images" / "A1.jpg")
  raw_folders.textured(2000, 2400).save(array.folder / "images" / "A2_dark.png")
  sections = read(array)
  assert sections["A1"].image.path.name == "A1.jpg"
  assert sections["A2"].image is None


def test_warped_positions_replace_those_of_the_spot_file(array):
  warped = array.pixel_x + 40, array.pixel_y - 30
  write_warped(array, "A2", warped, keep=slice(0, -1))
  path = table(array, "section,positions\nA2,warped\n")
  section = read(array, metadata=path)["A2"]
  np.testing.assert_allclose(section.positions_px, np.stack(warped, 1)[:-1])
  assert section.dropped["positions that were not registered"] == 1
  path = table(array, "section,positions\nA1,warped\n")
  assert problem_of(array, metadata=path).field == "positions warped"


HER2ST_TABLE = Path(__file__).parents[3] / "experiments" / "datasets" / "her2st.csv"


@pytest.fixture
def repository(tmp_path, array):
  """The same sections as HER2ST's public repository has them; only A1 has an image."""
  data = tmp_path / "repository" / "data"
  for old, new in (("counts", "ST-cnts"), ("spots", "ST-spotfiles")):
    shutil.copytree(array.folder / old, data / new)
  spots = zip(array.x, array.y, strict=True)
  write_pathologist(array, "A1", [f"r\t{x}\t{y}\t\t\tcancer" for x, y in spots])
  shutil.copytree(array.folder / "pathologist", data / "ST-pat" / "lbl")
  (data / "ST-pat" / "lbl" / "README").write_text("labels of A1")
  (data / "ST-imgs" / "A" / "A1").mkdir(parents=True)
  raw_folders.textured(2000, 2400).save(data / "ST-imgs" / "A" / "A1" / "BT0_C1_HE.jpg")
  return data.parent


def test_the_table_of_her2st_fits_its_public_repository(repository, array):
  want = read(array)["A1"]
  for path in (repository, repository / "data", repository / "data" / "ST-cnts"):
    got = {s.section_id: s for s in readers.read_sections(path, HER2ST_TABLE)}
    assert {name: section.donor_id for name, section in got.items()} == {
      "A1": "A", "A2": "A", "B1": "B"
    }  # fmt: skip
    np.testing.assert_array_equal(got["A1"].counts.toarray(), want.counts.toarray())
    np.testing.assert_allclose(got["A1"].positions_px, want.positions_px)
    assert (got["A1"].image.path.name, got["A1"].image_scale) == ("BT0_C1_HE.jpg", 1.0)
    assert set(got["A1"].labels["pathologist"]) == {"cancer"}
    assert got["A2"].image is None
    assert got["A1"].species == "human"


def test_the_table_of_her2st_fits_a_copy_with_smaller_images(array):
  (array.folder / "images").mkdir()
  for name, width in (("A1", 6954), ("A2", 6966)):
    image = raw_folders.textured(2000, 2400)
    image.save(array.folder / "images" / f"{name}_dark_2000px.png")
    write_warped(array, name, (array.pixel_x + 40, array.pixel_y))
    section = {s.section_id: s for s in readers.read_sections(array.folder, HER2ST_TABLE)}[name]
    assert section.image_scale == pytest.approx(2000 / width, rel=1e-5)
    shift = 40 * section.image_scale if name == "A2" else 0
    np.testing.assert_allclose(
      section.positions_px[:, 0], array.pixel_x * section.image_scale + shift
    )


def counts_text(edit):
  def change(array):
    path = array.folder / "counts" / "A1.tsv.gz"
    lines = gzip.decompress(path.read_bytes()).decode().split("\n")
    path.write_bytes(gzip.compress("\n".join(edit(lines)).encode()))

  return change


def last_cell(text):
  """Puts `text` into the last cell of the first spot."""
  return counts_text(lambda ls: [ls[0], ls[1].rpartition("\t")[0] + "\t" + text, *ls[2:]])


def spot_file(array):
  return array.folder / "spots" / "A1_selection.tsv"


def cut_gzip(array):
  path = array.folder / "counts" / "A1.tsv.gz"
  path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize(
  ("change", "field", "found"),
  [
    (counts_text(lambda ls: [ls[0], ls[1] + "\t3", *ls[2:]]), "line 2", "13 values"),
    (last_cell(""), "line 2, gene", "''"),
    (last_cell("NA"), "line 2, gene", "'NA'"),
    (last_cell("2.5"), "counts", "2.5"),
    (last_cell("-2"), "counts", "negative"),
    (counts_text(lambda ls: [ls[0], ls[1], *ls[1:]]), "spots", "twice"),
    (counts_text(lambda ls: ls[:1]), "counts", "no table"),
    (cut_gzip, "gzip", "breaks off"),
    (lambda a: spot_file(a).unlink(), "spots", "no position file"),
    (lambda a: spot_file(a).write_text("x\ty\n1\t2\n"), "column pixel_x", "only x, y"),
    (lambda a: a.write_counts("A1", spots=[f"9{s}" for s in a.spots]), "spots", "0 of the 36"),
  ],
)  # fmt: skip
def test_each_mistake_is_named_by_its_field(array, change, field, found):
  change(array)
  problem = problem_of(array)
  assert problem.field.startswith(field)
  assert found in problem.found


def test_whole_numbers_written_with_a_point_are_counts(array):
  want = read(array)["A1"].counts.toarray()
  counts_text(lambda lines: [lines[0], *(line + ".0" for line in lines[1:] if line)])(array)
  np.testing.assert_array_equal(read(array)["A1"].counts.toarray(), want)


HER2ST = {"A1": (346, 1553744), "C2": (187, 1926633), "F3": (712, 2696467), "D5": (305, 1957774)}


def test_real_her2st_sections_read_with_all_their_counts(real_data):
  sources = {s.section_id: s for s in readers.open_sections(real_data / "her2st")}
  assert len(sources) == 23
  assert len({s.donor_id for s in sources.values()}) == 5
  for name, (spots, total) in HER2ST.items():
    section = sources[name].read()
    assert section.num_spots == spots
    assert section.counts.sum() == total
    assert section.species == "human"


def test_the_scales_of_real_sections_printed_alike_agree(real_data):
  sources = {s.section_id: s for s in readers.open_sections(real_data / "her2st")}
  scales = [sources[name].read().um_per_px for name in ("C1", "D1", "E1", "F1")]
  assert np.ptp(scales) < 0.01 * np.mean(scales)


def test_the_table_of_her2st_places_spots_on_the_tissue_of_the_painted_images(real_data):
  sources = {s.section_id: s for s in readers.open_sections(real_data / "her2st", HER2ST_TABLE)}
  for name in ("A1", "A2"):
    section = sources[name].read()
    pixels = section.image.pixels()
    x, y = section.positions_px.astype(int).T
    # Everything beside the tissue is painted black.
    assert (pixels[y, x].max(axis=1) > 0).mean() > 0.99
    assert section.um_per_px == pytest.approx(3.2, abs=0.05)


def test_other_real_legacy_folders_read(real_data):
  olfactory = {s.section_id: s for s in readers.read_sections(real_data / "mob_st")}
  assert {n: s.num_spots for n, s in olfactory.items()} == {"MOB1": 379, "MOB2": 407, "MOB3": 438}
  assert all(not any("." in g for g in s.gene_ids) for s in olfactory.values())
  assert olfactory["MOB1"].species == "mouse"
  hearts = readers.read_sections(real_data / "heart_st")
  assert len(hearts) == 6
  assert all(set(s.labels) == {"region"} for s in hearts)
