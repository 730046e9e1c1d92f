"""What a work directory says of the runs before it."""

from hibio.training import workdir
from tests.hibio.training import toy

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
