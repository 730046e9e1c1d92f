"""Several slides in one table: told apart by what the table says, or refused; never one section."""

import warnings

import anndata
import numpy as np
import pytest

from data_pipelines import readers
from data_pipelines.problems import BadInputError
from data_pipelines.readers import one_slide
from data_pipelines.readers.annotated import contents, sections
from data_pipelines.readers.annotated.sections import Choices
from tests.data_pipelines import annotated, raw_folders


def slide(name, seed, image=False):
  section = annotated.section(name, seed=seed)
  made = annotated.adata(section, image=annotated.picture(section) if image else None)
  letters = np.random.default_rng(seed).choice(list("ACGT"), (made.n_obs, 16))
  made.obs_names = ["".join(row) + "-1" for row in letters]
  return made


@pytest.fixture
def two():
  """Two slides, joined as anndata does: `uns` is gone, and the column `sample` says which."""
  return anndata.concat(
    [slide("S", 1), slide("T", 2)], label="sample", keys=["A", "B"], index_unique="-", merge="same"
  )


def read(adata, **choices):
  return sections.sections_of(contents.of_object(adata), Choices(**choices))


def names(adata, **choices):
  return {one.section_id: one.num_spots for one in read(adata, **choices)}


@pytest.mark.parametrize(
  "column", ["sample", "batch", "library_id", "slide", "SampleID", "Run_Tissue_name", "mouse.id"]
)
def test_slides_on_one_array_are_told_apart_by_the_column_that_says_which(two, column):
  two.obs[column] = two.obs.pop("sample")
  assert names(two) == {"A": 90, "B": 90}


def test_a_column_that_calls_both_slides_alike_does_not_hide_them(two):
  two.obs["library_id"] = "outs"
  assert names(two) == {"A": 90, "B": 90}
  two.obs["library_id"] = two.obs.pop("sample")
  two.obs["batch"] = "0"
  assert names(two) == {"A": 90, "B": 90}


def test_slides_that_were_put_side_by_side_are_told_apart_by_the_column(two):
  del two.obs["array_row"], two.obs["array_col"]
  two.obsm["spatial"] = two.obsm["spatial"] + np.repeat([[0, 0], [600, 0]], 90, axis=0)
  assert names(two, um_per_px=5.0) == {"A": 90, "B": 90}
  uneven = two[np.r_[0:80, 95:180]].copy()
  assert names(uneven, um_per_px=5.0) == {"A": 80, "B": 85}


def test_pieces_that_a_column_tells_apart_are_one_section_and_said():
  one = slide("S", 1)
  one.obs["sample"] = np.where(one.obsm["spatial"][:, 0] < 100, "left", "right")
  for _ in ("array", "lattice alone"):
    (section,) = read(one, um_per_px=5.0)
    assert any("--library_key=sample" in note for note in section.notes)
    one.obs = one.obs[["sample"]]


def test_one_image_for_two_slides_is_used_for_neither_and_that_is_said(two):
  two.uns["spatial"] = slide("S", 1, image=True).uns["spatial"]
  for one in read(two):
    assert one.image is None
    assert any("not used" in note for note in one.notes)


def test_a_column_with_other_names_than_the_images_is_not_advised_without_their_loss(two):
  library = slide("S", 1, image=True).uns["spatial"]["S"]
  two.uns["spatial"] = {"L1": library, "L2": library}
  with pytest.raises(BadInputError) as problem:
    read(two)
  assert "add a column library_id with the values L1 and L2" in problem.value.fix
  assert "--library_key=sample also divides the spots, and leaves the images out" in str(
    problem.value
  )
  assert all(one.image is None for one in read(two, library_key="sample"))
  two.obs["library_id"] = two.obs["sample"].map({"A": "L1", "B": "L2"})
  assert all(one.image is not None for one in read(two))


def test_shifted_positions_do_not_hide_that_array_places_occur_twice(two):
  two.obsm["spatial"] = two.obsm["spatial"] + np.repeat([[0, 0], [900, 0]], 90, axis=0)
  assert names(two) == {"A": 90, "B": 90}


def test_without_an_array_spots_that_lie_among_each_other_are_of_two_slides(two):
  del two.obs["array_row"], two.obs["array_col"]
  two.obsm["spatial"] = two.obsm["spatial"] + np.repeat([[0, 0], [7, 3]], 90, axis=0)
  assert names(two, um_per_px=5.0) == {"A": 90, "B": 90}


@pytest.mark.parametrize("column", ["Image ID", "mouse_id", "batch"])
def test_cells_of_two_slides_among_each_other_are_told_apart_by_the_column(two, column):
  del two.obs["array_row"], two.obs["array_col"]
  two.obs[column] = two.obs.pop("sample")
  two.obsm["spatial"] = np.random.default_rng(0).uniform(0, 900, (180, 2))
  two.obs["fov"] = np.arange(180) % 2
  assert names(two, um_per_px=1.0) == {"A": 90, "B": 90}
  del two.obs[column]
  assert len(names(two, um_per_px=1.0)) == 1


@pytest.mark.parametrize("turned", [0.0, 0.1])
def test_two_lattices_inside_each_other_are_two_slides_though_no_column_says_so(two, turned):
  del two.obs["array_row"], two.obs["array_col"]
  turn = np.array([[np.cos(turned), np.sin(turned)], [-np.sin(turned), np.cos(turned)]])
  two.obsm["spatial"][90:] = two.obsm["spatial"][90:] @ turn + [7, 3]
  two.obs["block"] = two.obs.pop("sample")
  with pytest.raises(BadInputError, match="lattices that lie inside each other") as problem:
    read(two, um_per_px=5.0)
  assert "--library_key=block" in problem.value.fix
  assert names(two, um_per_px=5.0, library_key="block") == {"A": 90, "B": 90}


def test_measured_spots_whose_lattice_breaks_into_pieces_are_one_slide():
  rows, columns = np.mgrid[:12, :18].reshape(2, -1)
  rng = np.random.default_rng(0)
  uneven = np.where(np.isin(columns, (0, 1, 8, 9, 16, 17)), 0.2, 0.02)[:, None]
  positions = np.stack([columns, 1.05 * rows], axis=1) + uneven * rng.normal(size=(len(rows), 2))
  assert not one_slide.is_lattice(positions)
  assert not one_slide.are_two_lattices(positions)


def test_who_says_that_positions_are_right_is_believed_that_two_lattices_are_one_slide(two):
  del two.obs["array_row"], two.obs["array_col"], two.obs["sample"]
  two.obsm["spatial"][90:] += [7, 3]
  fixes = []
  for _ in ("without the column", "with it"):
    with pytest.raises(BadInputError, match="inside each other") as problem:
      read(two, um_per_px=5.0)
    fixes.append(problem.value.fix)
    two.obs["library_id"] = "S"
  assert fixes[0].startswith("add a column library_id")
  assert fixes[1].startswith("correct the column library_id")
  assert all("say as_is, in column positions" in fix for fix in fixes)
  assert names(two, um_per_px=5.0, positions="as_is") == {"S": 180}


@pytest.mark.parametrize("known", [True, False], ids=["array", "lattice alone"])
def test_a_batch_of_spots_on_one_array_is_no_slide(known):
  one = slide("S", 1, image=True)
  one.obs["batch"] = np.random.default_rng(0).choice(["x", "y"], one.n_obs)
  if not known:
    del one.obs["array_row"], one.obs["array_col"]
  (section,) = read(one, um_per_px=None if known else 5.0)
  assert section.image is not None


def test_slides_whose_tissue_does_not_overlap_are_told_apart_by_their_barcodes(two):
  left, whose = two.obsm["spatial"][:, 0] < 100, two.obs["sample"].to_numpy() == "A"
  apart = two[left == whose].copy()
  assert set(names(apart)) == {"A", "B"}


def test_a_barcode_that_occurs_twice_is_of_two_slides_wherever_their_spots_were_moved(two):
  other = slide("T", 2)
  other.obs_names = slide("S", 1).obs_names
  parts = [slide("S", 1), other]
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # names are not unique
    two = anndata.concat(parts, label="sample", keys=["A", "B"], merge="same")
  # As anndata makes names unique: the first keeps its name.
  two.obs_names = [*two.obs_names[:90], *(f"{name}-1" for name in two.obs_names[90:])]
  del two.obs["array_row"], two.obs["array_col"]
  two.obsm["spatial"] = two.obsm["spatial"] + np.repeat([[0, 0], [9000, 0]], 90, axis=0)
  assert names(two, um_per_px=5.0) == {"A": 90, "B": 90}
  del two.obs["sample"]
  with pytest.raises(BadInputError, match="more than once"):
    read(two, um_per_px=5.0)


def test_two_pieces_of_tissue_on_one_slide_stay_one_section_with_its_image():
  one = slide("S", 1, image=True)
  one.obs["sample"] = np.where(one.obsm["spatial"][:, 0] < 100, "piece 1", "piece 2")
  (section,) = read(one)
  assert section.num_spots == 90
  assert section.image is not None


def test_the_only_image_of_a_file_is_that_of_its_only_section():
  one = slide("S", 1, image=True)
  one.obs["library_id"] = "another name"
  assert read(one)[0].image is not None


def test_a_column_of_another_name_is_suggested_and_works_when_it_is_named(two):
  two.obs["block"] = two.obs.pop("sample")
  with pytest.raises(BadInputError, match="90 places .* among 180 spots") as problem:
    read(two)
  assert "--library_key=block" in problem.value.fix
  assert names(two, library_key="block") == {"A": 90, "B": 90}


def test_a_column_that_does_not_tell_slides_apart_is_refused_although_it_is_named(two):
  two.obs["half"] = np.where(two.obsm["spatial"][:, 0] < 100, "left", "right")
  with pytest.raises(BadInputError, match="--library_key=sample"):
    read(two, library_key="half")


def test_slides_that_nothing_tells_apart_are_refused(two):
  del two.obs["sample"]
  with pytest.raises(BadInputError, match="add a column library_id"):
    read(two)


def test_a_single_place_that_is_written_down_twice_is_no_second_slide():
  one = slide("S", 1)
  one.obs.iloc[1, one.obs.columns.get_indexer(["array_row", "array_col"])] = one.obs.iloc[0][
    ["array_row", "array_col"]
  ]
  assert list(names(one).values()) == [90]


def test_names_at_several_places_are_of_several_slides_and_no_repeated_rows(tmp_path):
  sample = raw_folders.visium(tmp_path / "S" / "outs")
  lines = sample.position_lines()
  for twice, fix in ((lines[:3], "remove the repeated rows"),
                     ([f"{line}7" for line in lines[:3]], "this slide alone")):  # fmt: skip
    sample.write_positions(lines=[*lines, *twice])
    with pytest.raises(BadInputError) as problem:
      readers.read_sections(tmp_path / "S")
    assert fix in problem.value.fix


def test_two_slides_in_a_folder_of_space_ranger_are_refused(tmp_path):
  sample = raw_folders.visium(tmp_path / "S" / "outs")
  other = raw_folders.visium(tmp_path / "T" / "outs", seed=1)
  sample.barcodes += [name.replace("-1", "-2") for name in other.barcodes]
  sample.counts = np.concatenate([sample.counts, other.counts])
  for field in ("rows", "columns", "x_px", "y_px", "in_tissue"):
    setattr(sample, field, np.concatenate([getattr(sample, field), getattr(other, field)]))
  sample.write_h5()
  sample.write_positions()
  with pytest.raises(BadInputError, match="more than once") as problem:
    readers.read_sections(tmp_path / "S")
  assert "section of its own" in problem.value.fix
