"""What a work directory says of its corpus, and that runs begun before it said so go on."""

import copy
import json
import shutil

import pytest

from data_pipelines.problems import BadInputError
from hibio.training import workdir
from hibio.training.checkpoints import read_params
from tests.hibio.training import toy

CORPUS = toy.CORPUS | {
  "sections": [
    {"section_id": "a", "donor_id": "A", "shards": {"one": "00"}, "content": "0a", "split": "train"}
  ]
}


def _description(corpus=CORPUS):
  config = {"model": {}, "objectives": {}, "training": {"seed": 0}}
  return workdir.describe(config, toy.PANEL, corpus)


def _as_before(description):
  """A description from before it listed sections."""
  old = copy.deepcopy(description)
  del old["corpus"]["sections"]
  return old


def test_a_checkpoint_lists_the_sections_that_it_was_trained_on():
  assert _description()["corpus"]["sections"] == [
    {"section_id": "a", "donor_id": "A", "content": "0a", "split": "train"}
  ]


def test_a_description_without_sections_is_the_same_run_but_another_corpus_is_not(tmp_path):
  workdir.check_same(tmp_path, _as_before(_description()), _description())
  other = copy.deepcopy(CORPUS)
  other["sections"][0]["shards"] = {"one": "01"}
  with pytest.raises(BadInputError, match=r"corpus\.fingerprint"):
    workdir.check_same(tmp_path, _as_before(_description()), _description(other))


def test_sections_that_were_renamed_are_another_run(tmp_path):
  other = copy.deepcopy(CORPUS)
  other["sections"][0]["content"] = "0b"
  with pytest.raises(BadInputError, match=r"corpus\.sections\.0\.content"):
    workdir.check_same(tmp_path, _description(), _description(other))


def test_a_run_begun_without_sections_goes_on_and_says_them_from_then_on(tmp_path, monkeypatch):
  describe = workdir.describe
  monkeypatch.setattr(workdir, "describe", lambda *arguments: _as_before(describe(*arguments)))
  toy.train(tmp_path, corpus=CORPUS)
  assert "sections" not in json.loads((tmp_path / "run.json").read_text())["corpus"]
  assert "sections" not in read_params(tmp_path)[1]["corpus"]
  monkeypatch.undo()
  shutil.rmtree(tmp_path / "checkpoints" / "6")
  begun = []
  toy.train(tmp_path, corpus=CORPUS, batches=lambda step: begun.append(step) or toy.batches(step))
  assert begun == [4]
  assert read_params(tmp_path)[1]["corpus"]["sections"][0]["content"] == "0a"
  assert json.loads((tmp_path / "run.json").read_text())["corpus"]["sections"]


EARLIER = {
  "fingerprint": "0",
  "splits": {"train": ["Z", "A"], "validation": ["V"], "test": ["T"]},
  "sections": [
    {"section_id": "z", "donor_id": "Z", "content": "1", "split": "train"},
    {"section_id": "t", "donor_id": "T", "content": "2", "split": "test"},
  ],
}


def test_training_donors_of_the_run_before_are_training_donors_and_its_others_are_not():
  alone = workdir.describe({}, toy.PANEL, toy.CORPUS)["corpus"]
  after = workdir.describe({}, toy.PANEL, toy.CORPUS, EARLIER)["corpus"]
  assert after["splits"] == {"train": ["A", "Z"], "validation": [], "test": []}
  assert after["fingerprint"] == alone["fingerprint"]
  assert toy.CORPUS["splits"]["train"] == ["A"]


def test_training_sections_of_the_run_before_are_kept_once():
  own = {"section_id": "a", "donor_id": "A", "content": "3", "split": "train"}
  corpus = {"splits": toy.CORPUS["splits"], "sections": [own]}
  once = workdir._with_earlier(corpus, EARLIER)
  assert once["sections"] == [own, EARLIER["sections"][0]]
  assert workdir._with_earlier(once, EARLIER)["sections"] == once["sections"]
