"""What the leakage guard finds, what it lets pass, and what it says."""

import copy

import pytest

from data_pipelines.problems import BadInputError
from hibio.evaluation import leakage
from hibio.evaluation.leakage import Excluded


def _section(section_id, donor, content, split):
  return {"section_id": section_id, "donor_id": donor, "content": content, "split": split}


META = {
  "corpus": {
    "fingerprint": "00",
    "splits": {"train": ["A", "C"], "validation": ["V"], "test": ["T"]},
    "sections": [
      _section("A1", "A", "aa1", "train"),
      _section("C1", "C", "cc1", "train"),
      _section("C2", "C", "cc2", "train"),
      _section("V1", "V", "vv1", "validation"),
      _section("T1", "T", "tt1", "test"),
    ],
  }
}


def _manifest(*sections):
  return {"sections": [_section(*one, "test") for one in sections]}


OTHERS = _manifest(("X1", "X", "xx1"), ("Y1", "Y", "yy1"))


def test_unrelated_donors_pass():
  assert leakage.leaks(META, OTHERS, ["X", "Y"]) == []
  assert leakage.notes(META, OTHERS, ["X", "Y"]) == []
  assert leakage.refused([], "corpus", allow_leak=False) == ""


def test_a_donor_of_a_training_donors_name_leaks():
  (reason,) = leakage.leaks(META, _manifest(("C9", "C", "new"), ("X1", "X", "xx1")), ["C", "X"])
  assert reason.startswith("donor C was trained on")


def test_a_training_section_under_another_name_gives_its_donor_away():
  manifest = _manifest(("X1", "X", "xx1"), ("X2", "X", "cc2"), ("Y1", "Y", "yy1"))
  (reason,) = leakage.leaks(META, manifest, ["X", "Y"])
  assert reason.startswith("donor X was trained on: section X2")
  assert "section C2 of donor C" in reason


def test_a_copy_that_is_not_scored_is_no_leak():
  manifest = _manifest(("X2", "X", "cc2"), ("Y1", "Y", "yy1"))
  assert leakage.leaks(META, manifest, ["Y"]) == []


def test_donors_that_the_checkpoint_held_out_may_be_scored():
  assert leakage.leaks(META, _manifest(("T1", "T", "tt1")), ["T"]) == []


def test_a_donor_that_was_only_watched_is_noted_by_name_or_content_and_not_refused():
  manifest = _manifest(("V1", "V", "new"), ("X1", "X", "vv1"))
  assert leakage.leaks(META, manifest, ["V", "X"]) == []
  found = leakage.notes(META, manifest, ["V", "X"])
  assert [note.split()[1] for note in found] == ["V", "X"]
  assert all("watched" in note for note in found)


BY_SECTION = {
  "corpus": {
    "splits": {"train": ["C1"], "validation": [], "test": ["C2"]},
    "sections": [
      {**_section("C1", "C1", "cc1", "train"), "patient": "C"},
      {**_section("C2", "C2", "cc2", "test"), "patient": "C"},
    ],
  }
}


def test_a_section_held_out_alone_is_no_leak_and_its_patient_is_noted():
  sections = [
    {**_section("C2", "C2", "cc2", "test"), "patient": "C"},
    {**_section("D1", "D1", "dd1", "test"), "patient": "D"},
  ]
  manifest = {"sections": sections}
  assert leakage.leaks(BY_SECTION, manifest, ["C2", "D1"]) == []
  (note,) = leakage.notes(BY_SECTION, manifest, ["C2", "D1"])
  assert note == "section C2: other sections of patient C were trained on"
  assert leakage.leaks(BY_SECTION, {"sections": [*sections, BY_SECTION["corpus"]["sections"][0]]},
                       ["C1"])  # fmt: skip


def test_a_donor_leaks_if_one_of_its_sections_was_trained_on_alone():
  (reason,) = leakage.leaks(BY_SECTION, _manifest(("C9", "C", "new")), ["C"])
  assert reason.startswith("donor C was trained on")


def test_an_older_checkpoint_is_compared_by_names_and_says_so():
  old = copy.deepcopy(META)
  del old["corpus"]["sections"]
  manifest = _manifest(("C9", "C", "new"), ("X2", "X", "cc2"))
  (reason,) = leakage.leaks(old, manifest, ["C", "X"])
  assert reason.startswith("donor C")
  assert leakage.NOT_BY_CONTENT in leakage.notes(old, manifest, ["X"])


def test_sections_of_unknown_content_are_not_copies_of_each_other():
  meta = copy.deepcopy(META)
  meta["corpus"]["sections"][0]["content"] = None
  assert leakage.leaks(meta, _manifest(("X1", "X", None)), ["X"]) == []


def test_a_leak_is_refused_and_allowed_only_with_a_banner():
  reasons = leakage.leaks(META, _manifest(("C9", "C", "new")), ["C"])
  with pytest.raises(BadInputError, match="donor C was trained on") as bad:
    leakage.refused(reasons, "corpus", allow_leak=False)
  assert "training donors" in str(bad.value)
  banner = leakage.refused(reasons, "corpus", allow_leak=True)
  assert banner.startswith("LEAK: donor C was trained on:")


def test_the_exclusion_list_matches_study_and_donor_in_any_case():
  listed = [Excluded("her2st", "a", "v1.1"), Excluded("other", "B"), Excluded("HER2ST", "Z")]
  (reason,) = leakage.excluded(listed, "HER2ST", ["A", "B"])
  assert reason == "donor A of HER2ST is on the exclusion list (version v1.1)"
  assert len(leakage.excluded(listed, "HER2ST/corpus", ["A", "B"])) == 1  # as Corpus.name has it
