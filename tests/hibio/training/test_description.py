"""What a checkpoint says of the corpus that it was trained on."""

import copy

import pytest

from data_pipelines.problems import BadInputError
from hibio.training import description
from tests.hibio.training import toy


def _described(corpus=toy.CORPUS):
  config = {"model": {}, "objectives": {}, "training": {"seed": 0}}
  return description.describe(config, toy.PANEL, corpus)


def test_a_checkpoint_lists_the_sections_that_it_was_trained_on():
  assert _described()["corpus"]["sections"] == [
    {"section_id": "a", "donor_id": "A", "content": "0a", "split": "train"}
  ]


def test_sections_that_were_renamed_are_another_run(tmp_path):
  description.check_same(tmp_path, _described(), _described())
  other = copy.deepcopy(toy.CORPUS)
  other["sections"][0]["content"] = "0b"
  with pytest.raises(BadInputError, match=r"corpus\.sections\.0\.content"):
    description.check_same(tmp_path, _described(), _described(other))


def test_who_asks_for_more_steps_hears_how_a_finished_run_is_trained_further(tmp_path):
  old, new = ({"config": {"training": {"num_steps": steps}}} for steps in (100, 150))
  with pytest.raises(BadInputError, match="100, which the run") as problem:
    description.check_same(tmp_path, old, new)
  assert "hibio finetune --config=experiments/finetuning.py:continue" in problem.value.fix


def test_another_panel_is_named_by_its_hash_alone(tmp_path):
  other = _described()
  other["panel"] = {"hash": "0", "ids": [], "symbols": []}
  with pytest.raises(BadInputError, match=r"panel\.hash: found '0' asked for"):
    description.check_same(tmp_path, _described(), other)


EARLIER = {
  "fingerprint": "0",
  "splits": {"train": ["Z", "A"], "validation": ["V"], "test": ["T"]},
  "sections": [
    {"section_id": "z", "donor_id": "Z", "content": "1", "split": "train"},
    {"section_id": "t", "donor_id": "T", "content": "2", "split": "test"},
  ],
}


def test_training_donors_of_the_run_before_are_training_donors_and_its_others_are_not():
  alone = description.describe({}, toy.PANEL, toy.CORPUS)["corpus"]
  after = description.describe({}, toy.PANEL, toy.CORPUS, EARLIER)["corpus"]
  assert after["splits"] == {"train": ["A", "Z"], "validation": [], "test": []}
  assert after["fingerprint"] == alone["fingerprint"]
  assert toy.CORPUS["splits"]["train"] == ["A"]


def test_training_sections_of_the_run_before_are_kept_once():
  own = {"section_id": "a", "donor_id": "A", "content": "3", "split": "train"}
  corpus = {"splits": toy.CORPUS["splits"], "sections": [own]}
  once = description.with_earlier(corpus, EARLIER)
  assert once["sections"] == [own, EARLIER["sections"][0]]
  assert description.with_earlier(once, EARLIER)["sections"] == once["sections"]
