"""A corpus split anew is the corpus that would have been prepared with those donors held out."""

import dataclasses

import numpy as np
import pytest

from data_pipelines.loading import loader
from data_pipelines.loading.corpus import Corpus
from data_pipelines.prepare import PrepareOptions, prepare
from data_pipelines.problems import BadInputError
from tests.data_pipelines import hand_made

NAMES = ("A1", "A2", "B1", "C1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A corpus that holds out nobody, and the same with A held out from the start."""
  folder = tmp_path_factory.mktemp("split")
  sections = [hand_made.section(name, name[0], rows=6) for name in NAMES]
  # B1's platform lacks genes, so that a mean over sections depends on which they are.
  some = np.flatnonzero(np.arange(hand_made.GENES) % 8 != 5)
  sections[2] = dataclasses.replace(
    sections[2],
    counts=sections[2].counts[:, some],
    gene_ids=sections[2].gene_ids[some],
    gene_symbols=sections[2].gene_symbols[some],
  )
  with pytest.MonkeyPatch.context() as patch:
    hand_made.hand_over(patch, [hand_made.Source(section) for section in sections])
    options = PrepareOptions(
      window_spots=24, region_um=(283.0, 490.0), gene_sets=(hand_made.gene_sets(folder),),
      test_donors=(), validation_donors=(),
    )  # fmt: skip
    prepare([folder], folder / "corpus", options)
    held = dataclasses.replace(
      options, test_donors=("A",), validation_donors=("C",), panel=folder / "corpus" / "panel.tsv"
    )
    prepare([folder], folder / "wanted", held)
  return folder


@pytest.fixture(scope="module")
def corpus(folder):
  return Corpus.open(folder / "corpus")


def _splits(corpus):
  return {s["section_id"]: s["split"] for s in corpus.manifest["sections"]}


def test_donors_held_out_anew_give_the_corpus_prepared_so_to_the_last_bit(folder, corpus):
  wanted = Corpus.open(folder / "wanted")
  got = corpus.resplit("donor", ["A"], ["C"])
  assert got.fingerprint == wanted.fingerprint != corpus.fingerprint
  assert got.manifest["splits"] == wanted.manifest["splits"]
  assert _splits(got) == _splits(wanted)
  assert set(got.statistics) == set(wanted.statistics)
  for name, values in wanted.statistics.items():
    np.testing.assert_array_equal(got.statistics[name], values, err_msg=name)
    assert got.statistics[name].dtype == values.dtype
  changed = "corpus_document_share", "corpus_mean_fraction", "corpus_spatial"
  assert all((got.statistics[name] != corpus.statistics[name]).any() for name in changed)


def test_the_old_corpus_keeps_its_splits_and_nothing_is_written(folder, corpus):
  before = {path: path.stat().st_mtime_ns for path in (folder / "corpus").rglob("*")}
  corpus.resplit("section", ["A1"])
  assert set(_splits(corpus).values()) == {"train"}
  assert {path: path.stat().st_mtime_ns for path in (folder / "corpus").rglob("*")} == before


def test_a_section_held_out_alone_is_a_donor_of_its_own_and_keeps_its_patient(corpus):
  got = corpus.resplit("section", ["A1"])
  assert got.manifest["splits"] == {"train": ["A2", "B1", "C1"], "validation": [], "test": ["A1"]}
  assert [s["donor_id"] for s in got.manifest["sections"]] == list(NAMES)
  assert [s["patient"] for s in got.manifest["sections"]] == ["A", "A", "B", "C"]
  assert _splits(got) == {"A1": "test", "A2": "train", "B1": "train", "C1": "train"}
  assert got.fingerprint != corpus.resplit("section", ["A2"]).fingerprint


def test_splitting_twice_is_splitting_once(corpus):
  once = corpus.resplit("donor", ["B"])
  again = corpus.resplit("section", ["A1"]).resplit("donor", ["B"])
  assert again.manifest == once.manifest
  assert again.fingerprint == once.fingerprint


def test_windows_of_a_split_are_those_of_its_sections_alone(corpus):
  got = corpus.resplit("section", ["A2"], train=["C1"])
  for split, name in (("test", "A2"), ("train", "C1")):
    batches = list(loader.windows_once(got, (split,), windows_per_batch=1))
    rows = {row for batch in batches for row in batch["section_index"].tolist()}
    assert rows == {NAMES.index(name)}


def test_who_is_named_nowhere_takes_no_part_where_those_to_train_on_are_named(corpus):
  got = corpus.resplit("section", ["A1"], train=["A2"])
  assert _splits(got) == {"A1": "test", "A2": "train", "B1": "unused", "C1": "unused"}
  assert got.manifest["splits"]["unused"] == ["B1", "C1"]
  alone = corpus.statistics["mean_fraction"][1]
  np.testing.assert_array_equal(got.statistics["corpus_mean_fraction"], alone)


def test_single_sections_of_a_donor_can_be_trained_on_while_donors_are_held_out(corpus):
  got = corpus.resplit("donor", ["B"], train=["A2"])
  assert _splits(got) == {"A1": "unused", "A2": "train", "B1": "test", "C1": "unused"}
  assert got.manifest["splits"] == {
    "train": ["A"], "validation": [], "test": ["B"], "unused": ["A1", "C1"],
  }  # fmt: skip
  assert got.fingerprint != corpus.resplit("donor", ["B"], train=["A1"]).fingerprint


@pytest.mark.parametrize(
  ("asked", "says"),
  [
    ({"unit": "slide", "test": ["A1"]}, "split.unit: found 'slide', expected one of donor, sec"),
    ({"unit": "section", "test": ["A9"]}, "split.test: found section 'A9', expected some of A1"),
    ({"unit": "donor", "test": ["A1"]}, "split.test: found donor 'A1', expected some of A, B, C"),
    ({"unit": "donor", "test": ["A"], "train": ["D"]}, "split.train: found donor 'D'"),
    ({"unit": "donor", "test": ["A"], "train": ["A1"]}, "split.train: found A1, also in split.te"),
    ({"unit": "donor", "test": ["A", "B", "C"]}, "every donor held out"),
  ],
)
def test_splits_that_cannot_be_are_refused_in_a_line(corpus, asked, says):
  with pytest.raises(BadInputError, match=says) as bad:
    corpus.resplit(**asked)
  assert "\n" not in str(bad.value)
