"""What each run of an ablation does not see, and on how many sections it is trained."""

import pytest

from data_pipelines.loading.corpus import Corpus
from data_pipelines.prepare import PrepareOptions, prepare
from data_pipelines.problems import BadInputError
from experiments.ablation import folds
from tests.data_pipelines import hand_made

IMAGED = ("A1", "A2", "C1")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
  """Six sections of three donors, of which three sections have an image; nobody is held out."""
  folder = tmp_path_factory.mktemp("folds")
  sections = [
    hand_made.section(
      name, name[0], rows=5, columns=6,
      image=hand_made.picture(folder, name) if name in IMAGED else None,
    )
    for name in ("A1", "A2", "A3", "B1", "C1", "C2")
  ]  # fmt: skip
  with pytest.MonkeyPatch.context() as patch:
    hand_made.hand_over(patch, [hand_made.Source(section) for section in sections])
    options = PrepareOptions(test_donors=(), validation_donors=(), patch_px=8, region_um=(283.0,))
    prepare([folder], folder / "corpus", options)
  return Corpus.open(folder / "corpus")


def _held_out(corpus, hold_out):
  return [(split.name, split.unit, split.test) for split in folds.splits(corpus, hold_out)]


def test_sections_in_turn_are_those_that_can_answer_and_donors_are_all(corpus):
  assert _held_out(corpus, "section") == [(name, "section", (name,)) for name in IMAGED]
  assert _held_out(corpus, "donor") == [(name, "donor", (name,)) for name in "ABC"]


def test_some_or_several_at_once_are_held_out_by_name(corpus):
  assert _held_out(corpus, "section:B1,C2") == [
    ("B1", "section", ("B1",)), ("C2", "section", ("C2",)),
  ]  # fmt: skip
  assert _held_out(corpus, "A1+C1,A2+C2") == [
    ("A1+C1", "section", ("A1", "C1")), ("A2+C2", "section", ("A2", "C2")),
  ]  # fmt: skip
  assert _held_out(corpus, "A+B") == [("A+B", "donor", ("A", "B"))]


def test_a_run_is_trained_on_all_but_what_its_fold_holds_out(corpus):
  (split,) = folds.splits(corpus, "A1+C1")
  found = {s["section_id"]: s["split"] for s in split.of(corpus).manifest["sections"]}
  assert {name for name, where in found.items() if where == "test"} == {"A1", "C1"}
  assert set(found.values()) == {"train", "test"}
  assert split.config == {"unit": "section", "train": "", "validation": "", "test": "A1,C1"}


def test_fewer_training_sections_are_some_of_more_and_have_images_as_far_as_there_are_any(corpus):
  (split,) = folds.splits(corpus, "donor:B")
  for seed in range(5):
    one, three, five = folds.with_sizes(corpus, split, (1, 3, 5, 9), seed)
    assert [len(of.train) for of in (one, three, five)] == [1, 3, 5]
    assert set(one.train) < set(three.train) == set(IMAGED)
    assert set(five.train) == {"A1", "A2", "A3", "C1", "C2"}
    assert one.folder == "fold-B-sections-1"
    assert one.words == ", 1 training section"
  two = [folds.with_sizes(corpus, split, (2,), seed)[0].train for seed in range(8)]
  assert all({name[0] for name in names} == {"A", "C"} for names in two)  # a donor each
  assert len(set(two)) > 1


def test_what_takes_no_part_is_not_in_the_split_that_a_size_leaves_out(corpus):
  (split,) = folds.with_sizes(corpus, folds.splits(corpus, "donor:B")[0], (1,), 0)
  manifest = split.of(corpus).manifest
  assert manifest["splits"]["test"] == ["B"]
  assert len(manifest["splits"]["unused"]) == 4


@pytest.mark.parametrize("hold_out", ["A1+B9", "section:Z", "donor:A1", "sections"])
def test_a_name_that_is_not_there_is_refused_in_a_line(corpus, hold_out):
  with pytest.raises(BadInputError, match="--hold_out"):
    folds.splits(corpus, hold_out)


def test_more_training_sections_than_there_are_is_refused(corpus):
  with pytest.raises(BadInputError, match="at most 5"):
    folds.with_sizes(corpus, folds.splits(corpus, "donor:B")[0], (6, 7), 0)
