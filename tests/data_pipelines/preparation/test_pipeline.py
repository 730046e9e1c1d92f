"""Preparing a corpus: what it holds, what a second run does, and what stops it."""

import dataclasses
import errno
import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
from array_record.python.array_record_module import ArrayRecordReader

from data_pipelines import entry
from data_pipelines import prepare as command
from data_pipelines.genes import GenePanel
from data_pipelines.loading.corpus import Corpus
from data_pipelines.preparation import manifest as manifests
from data_pipelines.preparation import room, section_folder
from data_pipelines.preparation.manifest import WORK, claimed
from data_pipelines.prepare import PrepareOptions, prepare
from data_pipelines.problems import BadInputError
from tests.data_pipelines import hand_made
from tests.data_pipelines.regions import check_regions


@pytest.fixture
def options(tmp_path):
  return PrepareOptions(
    gene_sets=(hand_made.gene_sets(tmp_path),), window_spots=20, test_donors=("A",),
    patch_px=16, region_um=(283.0, 490.0),
  )  # fmt: skip


def written(corpus):
  """Section -> when its shard was written."""
  return {
    p.parent.parent.name: p.stat().st_mtime_ns
    for p in corpus.glob("windows/*/1.0.0/*.array_record*")
  }


def test_the_manifest_says_what_is_in_the_corpus(tmp_path, sources, options):
  manifest = prepare([tmp_path], tmp_path / "corpus", options)
  assert manifest == manifests.read(tmp_path / "corpus")
  assert manifest["splits"] == {"train": ["B"], "validation": [], "test": ["A"]}
  assert manifest["labels"] == {"side": ["left", "right"]}
  assert manifest["gene_sets"]["names"] == ["left", "other", "right"]
  first, second, third = manifest["sections"]
  assert (first["split"], first["has_image"], second["has_image"]) == ("test", True, False)
  assert [s["spot_offset"] for s in manifest["sections"]] == [0, 50, 100]
  assert (third["num_spots"], third["num_windows"]) == (60, 3)
  assert first["dropped"]["spots outside the image"] == 1
  assert first["notes"] == ["made by hand"]


def test_tables_and_regions_of_the_corpus_are_sound(tmp_path, sources, options):
  prepare([tmp_path], tmp_path / "corpus", options)
  corpus = Corpus.open(tmp_path / "corpus")
  np.testing.assert_array_equal(corpus.spots["spot_index"], np.arange(160))
  np.testing.assert_array_equal(corpus.statistics["num_spots"], [50, 50, 60])
  for level in range(2):
    own = [set(corpus.regions[level, a:b]) for a, b in ((0, 50), (50, 100), (100, 160))]
    assert len(set.union(*own)) == sum(map(len, own))
  for name, spots in corpus.spots.groupby("section_id"):
    ids = corpus.regions[:, spots.index]
    assert check_regions(ids, spots[["x_um", "y_um"]].to_numpy()) == [], name
  sides = corpus.spots["side"] == "left"
  of_region = pd.Series(corpus.regions[0]).groupby(corpus.regions[0]).transform(
    lambda ids: sides[ids.index].mean()
  )  # fmt: skip
  assert np.maximum(of_region, 1 - of_region).mean() > 0.8


def test_a_second_run_reads_and_writes_nothing(tmp_path, sources, options, capsys):
  first = prepare([tmp_path], tmp_path / "corpus", options)
  before, reads = written(tmp_path / "corpus"), [s.reads for s in sources]
  assert reads == [1, 1, 1]
  assert prepare([tmp_path], tmp_path / "corpus", options) == first
  assert (written(tmp_path / "corpus"), [s.reads for s in sources]) == (before, reads)
  assert "nothing to do" in capsys.readouterr().err


def test_a_changed_section_is_the_only_one_redone(tmp_path, sources, options):
  prepare([tmp_path], tmp_path / "corpus", options)
  before = written(tmp_path / "corpus")
  sources[0].stamp = "2"  # of the test donor, so that the genes stay as they are
  prepare([tmp_path], tmp_path / "corpus", options)
  after = written(tmp_path / "corpus")
  assert {name for name in after if after[name] != before[name]} == {"A1"}
  assert [s.reads for s in sources] == [2, 1, 1]


@pytest.mark.parametrize("made", [True, False], ids=["new folder", "an empty one"])
def test_a_file_that_holds_no_gene_sets_is_refused_before_a_section_is_read(
  tmp_path, sources, options, made, capsys
):
  (tmp_path / "sets.gmt").write_text("not a table\n")
  corpus = tmp_path / "corpus"
  if not made:
    corpus.mkdir()
  with pytest.raises(BadInputError, match="line 1"):
    prepare([tmp_path], corpus, dataclasses.replace(options, gene_sets=(tmp_path / "sets.gmt",)))
  assert "genes 1/" not in capsys.readouterr().err
  assert corpus.exists() != made  # what was made is gone


def test_a_panel_with_hardly_a_gene_in_common_is_not_extended(tmp_path, sources, options):
  GenePanel(("x0", "x1"), ("X0", "X1")).save(tmp_path / "panel.tsv")
  with pytest.raises(BadInputError, match="0 genes of the panel") as problem:
    prepare(
      [tmp_path], tmp_path / "corpus",
      dataclasses.replace(options, extend_panel=tmp_path / "panel.tsv"),
    )  # fmt: skip
  assert "convert the gene names" in problem.value.fix


def test_other_gene_sets_redo_the_tables_but_no_section(tmp_path, sources, options):
  prepare([tmp_path], tmp_path / "corpus", options)
  before = written(tmp_path / "corpus")
  manifest = prepare([tmp_path], tmp_path / "corpus", dataclasses.replace(options, gene_sets=()))
  assert written(tmp_path / "corpus") == before
  assert manifest["gene_sets"]["names"] == []
  assert Corpus.open(tmp_path / "corpus").statistics["activity_std"].shape == (3, 0)


def test_larger_patches_redo_every_section_without_choosing_genes_again(tmp_path, sources, options):
  prepare([tmp_path], tmp_path / "corpus", options)
  prepare([tmp_path], tmp_path / "corpus", dataclasses.replace(options, patch_px=24))
  assert [s.reads for s in sources] == [2, 2, 2]
  assert Corpus.open(tmp_path / "corpus").patch_px == 24


def test_after_an_interruption_finished_sections_are_kept(tmp_path, sources, options, monkeypatch):
  output = tmp_path / "corpus"
  real = sources[2].section

  def stop(section, *rest):
    if section.section_id == "B2":
      (output / WORK / "partial" / "B2").mkdir(parents=True)
      raise KeyboardInterrupt
    return write(section, *rest)

  write = section_folder.write_section
  with monkeypatch.context() as patch:
    patch.setattr(section_folder, "write_section", stop)
    with pytest.raises(KeyboardInterrupt):
      prepare([tmp_path], output, options)
  assert not (output / "manifest.json").exists()
  with pytest.raises(BadInputError, match="unfinished"):
    Corpus.open(output)
  before = written(output)
  assert set(before) == {"A1", "B1"}
  prepare([tmp_path], output, options)
  assert {name: written(output)[name] for name in before} == before
  assert Corpus.open(output).spots["section_id"].nunique() == 3
  assert list((output / WORK / "partial").iterdir()) == []
  assert real is sources[2].section
  with monkeypatch.context() as patch:
    patch.setattr(section_folder, "write_section", stop)
    with pytest.raises(KeyboardInterrupt):
      prepare([tmp_path], output, dataclasses.replace(options, patch_px=24))
  with pytest.raises(BadInputError, match="unfinished"):
    Corpus.open(output)


def test_fields_of_a_window_lie_on_disk_in_the_order_of_their_names(tmp_path, sources, options):
  """Else the bytes, and the fingerprint of the corpus, would change from process to process."""
  prepare([tmp_path], tmp_path / "corpus", options)
  (shard,) = (tmp_path / "corpus" / "windows" / "A1").rglob("*.array_record*")
  (record, *_) = ArrayRecordReader(str(shard)).read_all()
  names = ("count", "gene", "offsets", "patches", "positions_um", "spot_index")
  at = [record.index(b"\n" + bytes([len(name)]) + name.encode()) for name in names]
  assert at == sorted(at)


def test_spots_with_few_counts_are_dropped_and_counted(tmp_path, sources, options):
  section = sources[1].section
  counts = section.counts.tolil()
  counts[:7] = 0
  sources[1].section = dataclasses.replace(section, counts=counts.tocsr())
  manifest = prepare([tmp_path], tmp_path / "corpus", dataclasses.replace(options, min_counts=5))
  assert manifest["sections"][1]["dropped"]["spots with fewer than 5 counts of panel genes"] == 7
  spots = Corpus.open(tmp_path / "corpus").spots
  assert not set(section.spot_ids[:7]) & set(spots["spot_id"])
  assert spots["total_counts"].min() >= 5
  few = np.diff(sources[0].section.counts.indptr) < 26
  again = prepare([tmp_path], tmp_path / "genes", dataclasses.replace(options, min_genes=26))
  assert again["sections"][0]["dropped"]["spots with fewer than 26 panel genes"] == few.sum() > 0
  with pytest.raises(BadInputError, match="A1: counts: found no spot left"):
    prepare([tmp_path], tmp_path / "corpus", dataclasses.replace(options, min_counts=10_000))


def test_genes_come_from_training_donors_or_from_a_given_panel(tmp_path, sources, options):
  section = sources[0].section
  only = section.counts.tolil()
  only[:, 39] = 9
  sources[0].section = dataclasses.replace(section, counts=only.tocsr())
  for source in sources[1:]:
    counts = source.section.counts.tolil()
    counts[:, 39] = 0
    source.section = dataclasses.replace(source.section, counts=counts.tocsr())
  prepare([tmp_path], tmp_path / "corpus", options)
  assert len(Corpus.open(tmp_path / "corpus").panel) == 39
  given = GenePanel(tuple(section.gene_ids[[39, 2, 0, 5, 6, 7]]), tuple("abcdef"))
  given.save(tmp_path / "panel.tsv")
  everyone = dataclasses.replace(
    options, panel=tmp_path / "panel.tsv", test_donors=("A", "B"), gene_sets=()
  )
  prepare([tmp_path], tmp_path / "other", everyone)
  assert Corpus.open(tmp_path / "other").panel.ids == given.ids
  with pytest.raises(BadInputError, match=r"training donors: found none.*--panel"):
    prepare([tmp_path], tmp_path / "third", dataclasses.replace(everyone, panel=None))


def test_one_slide_under_two_names_is_refused(tmp_path, sources, options):
  sources[2].section = dataclasses.replace(sources[1].section, section_id="B2")
  same = r"B2: counts: found the same .* as in section B1"
  with pytest.raises(BadInputError, match=same):
    prepare([tmp_path], tmp_path / "corpus", options)
  one = sources[0].section
  GenePanel(tuple(one.gene_ids), tuple(one.gene_symbols)).save(tmp_path / "panel.tsv")
  given = dataclasses.replace(options, panel=tmp_path / "panel.tsv")
  with pytest.raises(BadInputError, match=same):
    prepare([tmp_path], tmp_path / "corpus", given)


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", "x" * 81, ""])
def test_a_section_name_that_is_no_safe_file_name_is_refused(tmp_path, sources, options, name):
  sources[1].section = dataclasses.replace(sources[1].section, section_id=name)
  with pytest.raises(BadInputError, match="section name"):
    prepare([tmp_path], tmp_path / "corpus", options)


def test_sections_of_one_name_and_unknown_sections_are_refused(tmp_path, sources, options):
  with pytest.raises(BadInputError, match="each name once"):
    prepare([tmp_path, tmp_path], tmp_path / "corpus", options)
  with pytest.raises(BadInputError, match=r"--sections: section: found 'B9'.*B1"):
    prepare([tmp_path], tmp_path / "corpus", dataclasses.replace(options, sections=("B9",)))
  only = dataclasses.replace(options, sections=("B1", "B2"), test_donors=())
  assert len(prepare([tmp_path], tmp_path / "corpus", only)["sections"]) == 2


def test_a_folder_of_something_else_is_not_written_to(tmp_path, sources, options):
  (tmp_path / "home").mkdir()
  (tmp_path / "home" / "thesis.doc").write_text("years of work")
  with pytest.raises(BadInputError, match="a folder with other files"):
    prepare([tmp_path], tmp_path / "home", options)
  assert [p.name for p in (tmp_path / "home").iterdir()] == ["thesis.doc"]


def test_a_corpus_of_another_version_is_refused_and_left_alone(tmp_path, sources, options):
  manifest = prepare([tmp_path], tmp_path / "corpus", options)
  path = tmp_path / "corpus" / "manifest.json"
  path.write_text(json.dumps(manifest | {"version": 7}))
  with pytest.raises(BadInputError, match=r"version: found 7, expected 1"):
    prepare([tmp_path], tmp_path / "corpus", options)
  assert json.loads(path.read_text())["version"] == 7


def test_two_runs_at_once_are_refused(tmp_path, sources, options):
  with claimed(tmp_path / "corpus"), pytest.raises(BadInputError, match="another prepare is"):
    prepare([tmp_path], tmp_path / "corpus", options)
  assert len(prepare([tmp_path], tmp_path / "corpus", options)["sections"]) == 3


def test_a_mistake_in_the_options_costs_no_finished_corpus(tmp_path, sources, options):
  done = prepare([tmp_path], tmp_path / "corpus", options)
  (tmp_path / "none.gmt").write_text("\n")
  for wrong in (
    {"gene_sets": (tmp_path / "none.gmt",)},
    {"gene_sets": (tmp_path / "nowhere.gmt",)},
    {"test_donors": ("Z",)},
    {"min_document_share": 1.0},
  ):
    with pytest.raises(BadInputError):
      prepare([tmp_path], tmp_path / "corpus", dataclasses.replace(options, **wrong))
  assert manifests.read(tmp_path / "corpus") == done
  with pytest.raises(BadInputError):
    prepare([tmp_path], tmp_path / "new", dataclasses.replace(options, test_donors=("Z",)))
  assert not (tmp_path / "new").exists()


def test_a_full_disk_is_one_clear_line_and_leaves_nothing_half_written(
  tmp_path, sources, options, monkeypatch
):
  def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

  with monkeypatch.context() as patch:
    patch.setattr(section_folder.shards, "write", full)
    with pytest.raises(BadInputError, match="disk: found no room left"):
      prepare([tmp_path], tmp_path / "corpus", options)
  assert not (tmp_path / "corpus" / ".prepare" / "partial").exists()
  assert len(prepare([tmp_path], tmp_path / "corpus", options)["sections"]) == 3


def test_a_disk_without_room_is_refused_before_a_section_is_written(
  tmp_path, sources, options, monkeypatch
):
  def usage(free):
    return lambda _: shutil._ntuple_diskusage(total=10**6, used=0, free=free)

  with monkeypatch.context() as patch:
    patch.setattr(room.shutil, "disk_usage", usage(300_000))
    with pytest.raises(BadInputError, match="disk: found 300,000 bytes free, expected .* about 4"):
      prepare([tmp_path], tmp_path / "corpus", options)
    assert not written(tmp_path / "corpus")
    patch.setattr(room.shutil, "disk_usage", usage(600_000))
    prepare([tmp_path], tmp_path / "corpus", options)
  taken = sum(f.stat().st_size for f in (tmp_path / "corpus" / "windows").rglob("*") if f.is_file())
  assert 300_000 < taken < 600_000


def test_sections_that_cannot_be_used_are_skipped_where_that_is_asked_for(
  tmp_path, sources, options, capsys
):
  def broken(number):
    raise BadInputError(f"X{number}.h5", "content", "<b>damaged</b> | cut", "a file", "copy it")

  more = [hand_made.section(f"X{n}", "X", rows=4) for n in (1, 2)]
  sources += [hand_made.Source(one) for one in [*more, dataclasses.replace(more[0], donor_id="B")]]
  sources[-1].section = dataclasses.replace(sources[1].section, section_id="X3")
  sources[3].read = lambda: broken(1)
  sources[4].fingerprint = lambda: broken(2)
  with pytest.raises(BadInputError, match="X2.h5"):
    prepare([tmp_path], tmp_path / "corpus", options)
  skipping = dataclasses.replace(options, skip_bad=True, test_donors=("A", "X"))
  manifest = prepare([tmp_path], tmp_path / "corpus", skipping)
  assert [one["section_id"] for one in manifest["sections"]] == ["A1", "B1", "B2"]
  assert set(manifest["skipped"]) == {"X1", "X2", "X3"}
  assert manifest["splits"] == {"train": ["B"], "validation": [], "test": ["A"]}
  assert "3 sections left out" in capsys.readouterr().err
  text = (tmp_path / "corpus" / "summary.md").read_text()
  (line,) = [line for line in text.splitlines() if line.startswith("| X1 |")]
  assert "X1.h5: content: found &lt;b>damaged&lt;/b> \\| cut" in line
  assert "the same count matrix as in section B1" in text
  assert "| A1 | A | test | visium | 50 | 40 | 5 (made so) | 1 spot outside the image |" in text
  assert prepare([tmp_path], tmp_path / "corpus", skipping) == manifest
  for source in sources:
    source.read = lambda: broken(3)
  with pytest.raises(BadInputError, match="--skip_bad: sections: found none that can be used"):
    prepare([tmp_path], tmp_path / "other", skipping)


def test_a_donor_whose_name_a_terminal_would_obey_is_refused(tmp_path, sources, options):
  sources[1].section = dataclasses.replace(sources[1].section, donor_id="B\x1b[2J")
  with pytest.raises(BadInputError, match=r"donor: found 'B\\x1b\[2J'"):
    prepare([tmp_path], tmp_path / "corpus", options)


def run_command(monkeypatch, *arguments):
  """`python -m data_pipelines.prepare`; returns what it hands to `prepare`."""
  seen = []
  monkeypatch.setattr(command, "prepare", lambda *given: seen.append(given))
  monkeypatch.setattr("sys.argv", ["prepare", *arguments])
  command.FLAGS.unparse_flags()
  entry.run(command.main, command.FLAGS)
  (given,) = seen
  return given


def test_the_command_line_reads_every_option(monkeypatch):
  inputs, output, options, jobs = run_command(
    monkeypatch,
    "--input=a", "--input=b", "--output=c", "--gene_sets=x.gmt", "--gene_sets=y.gmt",
    "--metadata=m.csv", "--panel=p.tsv", "--patch_px=64", "--window_spots=32",
    "--test_donors=A, B", "--validation_donors=", "--min_counts=9", "--min_genes=3",
    "--sections=A1,A2", "--jobs=3",
  )  # fmt: skip
  assert [*map(str, inputs), str(output)] == ["a", "b", "c"]
  assert [p.name for p in options.gene_sets] == ["x.gmt", "y.gmt"]
  assert (options.test_donors, options.validation_donors) == (("A", "B"), ())
  assert (options.sections, options.min_counts, options.min_genes) == (("A1", "A2"), 9, 3)
  assert options.patch_px == 64
  assert jobs == 3


def test_options_that_are_not_given_are_those_of_the_library(monkeypatch):
  _, _, options, jobs = run_command(monkeypatch, "--input=a", "--output=c")
  assert (options, jobs) == (PrepareOptions(), None)


def test_a_value_out_of_range_stops_before_anything_is_read():
  with pytest.raises(BadInputError, match=r"--patch_px: value: found 0, expected 8 to 1024"):
    PrepareOptions(patch_px=0)
  with pytest.raises(BadInputError, match=r"--max_genes: value: found 0, expected 1 to"):
    PrepareOptions(max_genes=0)


def test_a_damaged_image_is_one_line_also_where_patches_are_written_as_they_are_cut(
  tmp_path, monkeypatch
):
  image = hand_made.picture(tmp_path, "A1", width_px=900, height_px=900)
  content = image.path.read_bytes()
  image.path.write_bytes(content[: len(content) // 2])
  hand_made.hand_over(monkeypatch, [hand_made.Source(hand_made.section("A1", "A", image=image))])
  with pytest.raises(BadInputError) as problem:
    prepare([tmp_path], tmp_path / "corpus", PrepareOptions(test_donors=()))
  assert problem.value.field == "pixels"
  assert "\n" not in str(problem.value)
