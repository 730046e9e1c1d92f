"""No bit of a corpus can change without a word, and what is damaged is made again."""

import os
import shutil

import numpy as np
import pytest

from data_pipelines.loading.corpus import Corpus
from data_pipelines.preparation import manifest as manifests
from data_pipelines.preparation.manifest import WORK
from data_pipelines.prepare import PrepareOptions, prepare
from experiments.faults.corpus_flips import NAMED, draw, flipped, outcome, read_all
from tests.data_pipelines import hand_made


def content(corpus):
  """Every file of a corpus but what a later run needs, as bytes."""
  return {
    path.relative_to(corpus): path.read_bytes()
    for path in sorted(corpus.rglob("*"))
    if path.is_file() and WORK not in path.parts
  }


@pytest.fixture
def again(tmp_path, monkeypatch):
  """Prepares, and prepares again, a corpus of three sections; returns its folder."""
  images = {name: hand_made.picture(tmp_path, name) for name in ("A1", "B1")}
  sections = [
    hand_made.section(name, name[0], rows=4, image=image) for name, image in images.items()
  ]
  sections.append(hand_made.section("C1", "C", rows=4))
  hand_made.hand_over(monkeypatch, list(map(hand_made.Source, sections)))
  options = PrepareOptions(gene_sets=(hand_made.gene_sets(tmp_path),), test_donors=("B",))

  def command(name="corpus"):
    prepare([tmp_path], tmp_path / name, options)
    return tmp_path / name

  return command


def test_every_single_bit_flip_is_noticed_and_its_file_is_named(again):
  corpus = again()
  values = np.ones((40, 3), np.float32)
  kept = Corpus.open(corpus).feature_store("mean")
  kept.begin({"name": "mean", "hash": "ab", "width": 3})
  for name in ("A1", "B1"):
    kept.put(name, values)
  read_all(corpus)
  flips = draw(corpus, 60, seed=0)
  assert len({flip.file for flip in flips}) > 20
  assert {outcome(corpus, flip) for flip in flips} == {NAMED}
  read_all(corpus)


def test_a_damaged_corpus_is_prepared_again_to_the_same_bytes(again, capsys):
  corpus = again()
  before = content(corpus)
  kinds = {}
  for flip in draw(corpus, 200, seed=1):
    kinds.setdefault((flip.file.suffix, flip.file.name == manifests.FILE), flip)
  assert len(kinds) > 5
  for flip in kinds.values():
    with flipped(flip):
      capsys.readouterr()
      again()
      assert f"{flip.file}" in capsys.readouterr().err
      assert content(corpus) == before


@pytest.mark.parametrize("lost", ["windows/A1", "manifest.json"])
def test_what_is_lost_is_made_again_and_nothing_else(again, lost):
  corpus = again()
  before = content(corpus)
  (shard,) = corpus.glob("windows/C1/1.0.0/*.array_record*")
  written = shard.stat().st_mtime_ns
  path = corpus / lost
  shutil.rmtree(path) if path.is_dir() else path.unlink()
  again()
  assert content(corpus) == before
  assert shard.stat().st_mtime_ns == written


def test_what_a_later_run_need_not_do_again_is_not_believed_with_a_flipped_bit(again):
  corpus = again()
  before = content(corpus)
  for path in sorted((corpus / WORK).rglob("*")):
    if path.is_file() and path.stat().st_size:
      raw = bytearray(path.read_bytes())
      raw[len(raw) // 2] ^= 4
      path.write_bytes(raw)
  again()
  assert content(corpus) == before


def test_preparing_again_writes_through_no_link_and_over_no_file_elsewhere(again, tmp_path):
  corpus = again()
  before = content(corpus)
  (tmp_path / "mine.txt").write_text("mine")
  for name in manifests.TABLES:
    (corpus / name).unlink()
    (corpus / name).symlink_to(tmp_path / "mine.txt")
  again()
  assert content(corpus) == before
  assert (tmp_path / "mine.txt").read_text() == "mine"


def test_another_manifest_and_pipes_and_links_in_the_place_of_files_are_made_again(again):
  corpus = again()
  before = content(corpus)
  (corpus / manifests.FILE).write_text('{"format": "tfds"}')
  thumbnail = corpus / "thumbnails" / "A1.jpg"
  thumbnail.unlink()
  os.mkfifo(thumbnail)
  shutil.move(corpus / "windows" / "C1", corpus.parent / "elsewhere")
  (corpus / "windows" / "C1").symlink_to(corpus.parent / "elsewhere")
  (corpus / "windows" / "C1" / "measured.npy").write_bytes(b"")
  again()
  assert content(corpus) == before


def test_a_lost_corpus_is_the_same_to_the_last_byte_when_it_is_prepared_again(again):
  assert content(again("one")) == content(again("two"))
