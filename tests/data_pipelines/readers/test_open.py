"""Finding sections in folders, the metadata table, and what changes a fingerprint."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from data_pipelines import readers
from data_pipelines.genes import guess_species
from data_pipelines.problems import BadInputError
from data_pipelines.readers.metadata import file_name
from tests.data_pipelines import raw_folders


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  folder = tmp_path_factory.mktemp("study")
  raw_folders.visium(folder / "one" / "outs")
  raw_folders.visium(folder / "deeper" / "two ä" / "outs", seed=1)
  raw_folders.legacy_st(folder / "arrays", names=("A1",))
  return folder


@pytest.fixture
def study(made, tmp_path):
  return shutil.copytree(made, tmp_path / "study")


def ids(path, **options):
  return [s.section_id for s in readers.open_sections(path, **options)]


def problem_of(path, **options):
  with pytest.raises(BadInputError) as problem:
    readers.open_sections(path, **options)
  return problem.value


def test_sections_of_all_kinds_are_found_by_name_at_any_depth(study):
  assert ids(study) == ["A1", "one", "two"]


def test_a_folder_above_or_inside_a_section_finds_it(study):
  for inner in (".", "outs", "outs/spatial"):
    assert ids(study / "one" / inner) == ["one"]
  assert ids(study / "arrays" / "counts") == ["A1"]


def test_a_link_back_to_the_folder_does_not_find_a_section_twice(study):
  (study / "again").symlink_to(study)
  assert ids(study) == ["A1", "one", "two"]


def test_sections_of_one_name_are_told_apart_by_the_folders_above_them(study):
  shutil.copytree(study / "one", study / "copy" / "one")
  assert ids(study) == ["A1", "copy_one", "study_one", "two"]
  sources = {source.section_id: source for source in readers.open_sections(study)}
  assert sources["copy_one"].donor_id == "copy_one"
  write_table(study, "section,donor\ncopy_one,d\n")
  assert ids(study) == ["A1", "copy_one", "one", "two"]
  write_table(study, "section,donor\none,d\n")
  problem = problem_of(study)
  assert "one twice" in problem.found
  assert "copy_one and study_one" in problem.fix or "study_one and copy_one" in problem.fix


def test_folders_in_another_alphabet_are_told_apart_and_found_in_the_table(study):
  for name in ("甲", "乙"):
    shutil.copytree(study / "one", study / name)
  write_table(study, "section,donor\n甲,a\n乙,b\ntwo ä,c\n")
  donors = {source.donor_id: source.section_id for source in readers.open_sections(study)}
  assert donors == {
    "A": "A1", "a": file_name("甲"), "b": file_name("乙"), "c": "two", "one": "one"
  }  # fmt: skip


def test_a_link_has_its_own_name_and_not_that_of_what_it_leads_to(study):
  (study / "staged").mkdir()
  (study / "staged" / "S1").symlink_to("../one/outs")
  assert ids(study / "staged") == ["S1"]
  write_table(study / "staged", "section,donor\nS1,d\n")
  assert readers.open_sections(study / "staged")[0].donor_id == "d"


def test_a_section_that_a_second_link_leads_to_is_not_silently_left_out(study):
  for name in ("S1", "S2"):
    (study / name).symlink_to("one")
  assert ids(study) == ["A1", "S1", "S2", "one", "two"]


def test_a_broken_link_is_a_section_that_says_so(study):
  (study / "S9").symlink_to("nowhere")
  sources = {source.section_id: source for source in readers.open_sections(study)}
  assert set(sources) == {"A1", "S9", "one", "two"}
  with pytest.raises(BadInputError, match="broken link"):
    sources["S9"].read()


def test_a_gzipped_file_of_sections_is_not_silently_left_out(study):
  (study / "P9.h5ad.gz").write_bytes(b"")
  sources = {source.section_id: source for source in readers.open_sections(study)}
  with pytest.raises(BadInputError, match="gunzip P9.h5ad.gz"):
    sources["P9.h5ad"].read()


def test_a_file_that_cannot_be_used_stops_no_others(study):
  (study / "bad.h5ad").write_text("no HDF5")
  sources = {source.section_id: source for source in readers.open_sections(study)}
  assert set(sources) == {"A1", "bad", "one", "two"}
  with pytest.raises(BadInputError, match="HDF5"):
    sources["bad"].read()


@pytest.mark.parametrize(
  ("name", "expected"),
  [("nothing", "empty"), ("studi", "study"), ("file.zip", "unpack"), ("file.txt", "folder")],
)
def test_a_path_that_is_no_folder_of_sections_says_what_to_do(study, name, expected):
  (study.parent / "nothing").mkdir()
  (study.parent / "file.zip").write_bytes(b"PK")
  (study.parent / "file.txt").write_text("text")
  problem = problem_of(study.parent / name)
  assert expected in problem.fix or name == "nothing"
  assert "\n" not in str(problem)


def test_opening_reads_no_counts(study):
  (study / "one" / "outs" / "filtered_feature_bc_matrix.h5").write_bytes(b"broken")
  sources = {s.section_id: s for s in readers.open_sections(study)}
  assert sources["two"].read().num_spots == 56
  with pytest.raises(BadInputError):
    sources["one"].read()


@pytest.mark.parametrize("name", ["deeper", "one/outs/spatial"])
def test_a_folder_that_must_not_be_read_stops_no_others(study, monkeypatch, name):
  listed = Path.iterdir

  def iterdir(folder):
    if folder == study / name:
      raise PermissionError(13, "Permission denied")
    return listed(folder)

  monkeypatch.setattr(Path, "iterdir", iterdir)
  found = {source.section_id: source for source in readers.open_sections(study)}
  assert "A1" in found
  refused = found["deeper" if name == "deeper" else "one"]
  with pytest.raises(BadInputError, match="permissions"):
    refused.read()


_DOWNLOADS = {
  "Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
  "web page": b"<!DOCTYPE html><html><body>Log in</body></html>",
  "an empty file": b"",
}


@pytest.mark.parametrize("found", _DOWNLOADS)
@pytest.mark.parametrize(
  "file", ["filtered_feature_bc_matrix.h5", "spatial/tissue_positions.csv",
           "spatial/scalefactors_json.json", "spatial/tissue_hires_image.png"],
)  # fmt: skip
def test_a_download_that_went_wrong_is_recognised_in_every_file(study, file, found):
  (study / "one" / "outs" / file).write_bytes(_DOWNLOADS[found])
  (source,) = readers.open_sections(study / "one")
  with pytest.raises(BadInputError, match=found):
    source.read()


def test_every_problem_of_a_section_is_found_at_once(study):
  outs = study / "one" / "outs"
  (outs / "filtered_feature_bc_matrix.h5").write_bytes(b"broken")
  (outs / "spatial" / "tissue_positions.csv").write_text("a,b\n")
  (outs / "spatial" / "scalefactors_json.json").write_text("{")
  (source,) = readers.open_sections(study / "one")
  assert {p.field for p in source.problems()} == {"file", "line 1", "JSON"}


def write_table(study, text, name="metadata.csv"):
  (study / name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
  "text",
  [
    "section,donor\none,007\n",
    "\ufeffsection,donor\r\none,007\r\n",
    'Section\tDonor\n"one"\t007\n',
    "section;donor;age\none;007;54\n",
  ],
)
def test_a_metadata_table_is_read_whatever_its_separator_and_ids_stay_text(study, text):
  write_table(study, text)
  donors = {s.section_id: s.donor_id for s in readers.open_sections(study)}
  assert donors == {"A1": "A", "one": "007", "two": "two"}


@pytest.mark.parametrize(
  ("text", "field"),
  [
    ("sample,donor\none,d\n", "column section"),
    ("section,doner\none,d\n", "column doner"),
    ("section,donor\none,d\none,e\n", "section"),
    ("section,donor\nthree,d\n", "section"),
    ("section,image_scale\none,0\n", "image_scale of section one"),
    ("section,image_scale\none,half\n", "image_scale of section one"),
    ("section,um_per_px\none,-1\n", "um_per_px of section one"),
    ("section,platform\none,visum\n", "platform of section one"),
    ("section,positions\none,bent\n", "positions of section one"),
    ("section,species\none,martian\n", "species of section one"),
    ("section,pitch_um\none,0.5\n", "pitch_um of section one"),
    ("section,pitch_um\none,55\n", "pitch_um of section one"),
  ],
)
def test_a_mistake_in_the_table_is_named(study, text, field):
  write_table(study, text)
  assert problem_of(study).field == field


@pytest.mark.parametrize(("row", "meant"), [("One", "one"), ("two.h5ad", "two"), ("A01", "A1")])
def test_a_row_that_all_but_names_a_section_is_not_passed_over(study, row, meant):
  others = {"one": "A1", "two": "one", "A1": "two"}
  write_table(study, f"section,donor\n{row},d\n{others[meant]},e\n")
  assert problem_of(study).fix.startswith(f"write {meant} for {row}")


def test_rows_of_sections_that_are_not_here_are_said(study, capsys):
  write_table(study, "section,donor\none,d\nelsewhere,e\n")
  assert ids(study) == ["A1", "one", "two"]
  assert "1 rows are of no section here (elsewhere)" in capsys.readouterr().err


@pytest.mark.parametrize(
  ("words", "fix"),
  [
    ({"layer": "counts"}, "leave it out"),
    ({"library_key": "sample"}, "leave it out"),
    ({"pitch_um": 55.0}, "leave it out"),
    ({"image": "he.png"}, "metadata table"),
    ({"platform": "legacyst"}, "legacy_st"),
  ],
)
def test_words_that_would_be_ignored_are_refused(study, words, fix):
  assert fix in problem_of(study, words=readers.Words(**words)).fix


def test_a_word_holds_where_the_table_says_nothing(study):
  write_table(study, "section,um_per_px\none,0.25\n")
  words = readers.Words(um_per_px=0.5)
  found = {s.section_id: s.read() for s in readers.open_sections(study, words=words)}
  assert found["two"].um_per_px_source.startswith("given (against 2 by lattice pitch")
  scales = {name: one.um_per_px * one.image_scale for name, one in found.items()}
  assert scales == pytest.approx({"A1": 0.5, "one": 0.25, "two": 0.5})


def test_the_platform_that_is_said_chooses_the_reader(study):
  for name in ("counts", "spots"):
    shutil.copytree(study / "arrays" / name, study / "one" / "outs" / name)
  for platform, name in (("visium", "one"), ("legacy_st", "A1")):
    assert ids(study / "one", words=readers.Words(platform=platform)) == [name]


def test_a_missing_image_names_every_place_it_was_looked_for(study):
  write_table(study, "section,image\none,he.tif\n")
  source = next(s for s in readers.open_sections(study) if s.section_id == "one")
  with pytest.raises(BadInputError, match="he.tif") as problem:
    source.read()
  assert str(study / "one" / "outs") in problem.value.found


@pytest.mark.parametrize("place", ["tables", "study", "study/one/outs", "study/one"])
def test_a_relative_image_is_found_beside_the_table_the_input_or_the_section(study, place):
  (study.parent / "tables").mkdir()
  hires = study / "one" / "outs" / "spatial" / "tissue_hires_image.png"
  shutil.copy(hires, study.parent / place / "he.png")
  path = study.parent / "tables" / "t.csv"
  path.write_text(f"section,image,image_scale\none,he.png,{raw_folders.HIRES}\n")
  source = next(s for s in readers.open_sections(study, path) if s.section_id == "one")
  assert source.read().image.path == study.parent / place / "he.png"


def test_of_several_rows_the_first_counts_whose_image_is_there(study):
  write_table(study, "section,donor,image\none,a,small.png\none,b,large.png\none,c,\n")

  def donor():
    return next(s for s in readers.open_sections(study) if s.section_id == "one").donor_id

  assert donor() == "c"
  hires = study / "one" / "outs" / "spatial" / "tissue_hires_image.png"
  shutil.copy(hires, study / "one" / "large.png")
  assert donor() == "b"
  shutil.copy(hires, study / "small.png")
  assert donor() == "a"


def test_rows_with_images_of_which_none_is_there_are_a_problem(study):
  write_table(study, "section,image\none,small.png\none,large.png\n")
  source = next(s for s in readers.open_sections(study) if s.section_id == "one")
  with pytest.raises(BadInputError, match="no file large.png"):
    source.read()


@pytest.mark.parametrize("rows", ["one,\none,x.png\n", "one,x.png\none,x.png\n"])
def test_a_row_that_could_never_count_is_refused(study, rows):
  write_table(study, "section,image\n" + rows)
  assert problem_of(study).found == "one twice"


def test_a_fingerprint_changes_with_a_file_or_the_table_and_with_nothing_else(study):
  def fingerprint():
    return next(s for s in readers.open_sections(study) if s.section_id == "one").fingerprint()

  first = fingerprint()
  (study / "notes.txt").write_text("unrelated")
  assert fingerprint() == first
  write_table(study, "section,donor\none,d\n")
  second = fingerprint()
  assert second != first
  os.utime(study / "one" / "outs" / "filtered_feature_bc_matrix.h5", ns=(1, 1))
  assert fingerprint() != second


def test_a_section_name_is_safe_as_a_file_name():
  assert file_name("../../etc/passwd") == "etc_passwd"
  assert file_name(".hidden") == "hidden"
  assert file_name("ä") == file_name("ä") != file_name("ö")
  assert file_name("ä").startswith("section_")
  assert len(file_name("x" * 200)) == 80


@pytest.mark.parametrize(
  ("ids", "symbols", "species"),
  [
    (["ENSG00000000001"] * 3, ["a"] * 3, "human"),
    (["ENSMUSG00000000001"] * 3, ["a"] * 3, "mouse"),
    (["TP53", "MYC", "CD3D"] * 10, ["TP53", "MYC", "CD3D"] * 10, "human"),
    (["Trp53", "Myc", "Cd3d"] * 10, ["Trp53", "Myc", "Cd3d"] * 10, "mouse"),
    (["x1", "y"] * 20, ["x1", "y"] * 20, None),
    (["ENSRNOG00000000001"] * 3, ["TP53"] * 3, "rat"),
    (["ENSSSCG00000000001"] * 3, ["TP53"] * 3, "pig"),
    (["ENSDARG00000000001"] * 3, ["TP53"] * 3, "zebrafish"),
    (["ENSXETG00000000001"] * 30, ["TP53"] * 30, None),
    (["Trp53", "Myc"] * 20, ["Trp53", "Myc"] * 19 + ["RGD1309534", "RT1-Da"], "rat"),
    (["TP53", "MYC"] * 20, ["TP53", "MYC"] * 19 + ["ENSSSCG00000000001"] * 3, "pig"),
  ],
)
def test_species_is_guessed_from_ids_and_from_capitals(ids, symbols, species):
  assert guess_species(np.array(ids), np.array(symbols)) == species


def test_two_genomes_in_one_matrix_are_refused_and_one_prefix_is_taken_off(tmp_path):
  sample = raw_folders.visium(tmp_path / "S" / "outs")
  sample.write_h5(id=[f"GRCh38_{i}" for i in sample.gene_ids])
  (section,) = readers.read_sections(sample.folder)
  assert section.gene_ids.tolist() == sample.gene_ids
  mixed = [f"{'GRCh38' if n % 2 else 'mm10'}_{i}" for n, i in enumerate(sample.gene_ids)]
  sample.write_h5(id=mixed)
  with pytest.raises(BadInputError, match="two genomes"):
    readers.read_sections(sample.folder)


@pytest.mark.parametrize(
  ("name", "what"),
  [
    ("S1_feature_slice.h5", "a feature slice of Visium HD"),
    ("S1.tissue.gef", "a Stereo-seq matrix"),
    ("S1.gem.gz", "a Stereo-seq matrix"),
    ("S1.RDS", "an R object"),
    ("S1.cloupe", "Loupe Browser"),
  ],
)
def test_files_that_are_known_and_not_read_are_named(tmp_path, name, what):
  (tmp_path / name).write_bytes(b"x")
  assert what in problem_of(tmp_path).found
