"""How the probe is fitted: who chooses its penalty, and on which spots."""

import numpy as np
import pytest

from hibio.evaluation import predictions


@pytest.fixture
def side():
  """Names, donors and sections of 240 spots: six donors of two sections, three classes."""
  rng = np.random.default_rng(0)
  donors = np.repeat([f"d{n}" for n in range(6)], 40)
  sections = np.repeat([f"s{n}" for n in range(12)], 20)
  return rng.choice(["a", "b", "c"], 240), donors, sections


def test_no_donor_lies_on_both_sides_of_an_inner_fold(side):
  names, donors, sections = side
  splits, how = predictions.inner_splits(names, donors, sections)
  assert len(splits) == 3
  for fit, held_out in splits:
    assert not set(donors[fit]) & set(donors[held_out])
  np.testing.assert_array_equal(np.sort(np.concatenate([h for _, h in splits])), np.arange(240))
  assert "LEAKY" not in how


def test_sections_of_a_single_donor_are_divided_instead_and_that_is_said(side):
  names, donors, sections = side
  splits, how = predictions.inner_splits(names, np.full(240, "d0"), sections)
  for fit, held_out in splits:
    assert not set(sections[fit]) & set(sections[held_out])
  assert "LEAKY" in how


def test_a_single_section_chooses_nothing(side):
  names = side[0]
  splits, how = predictions.inner_splits(names, np.full(240, "d"), np.full(240, "s"))
  assert splits == []
  assert "not chosen" in how


def test_inner_folds_with_one_class_to_fit_are_left_out(side):
  donors = np.repeat(["d0", "d1"], 120)
  names = np.where(donors == "d0", "a", np.tile(["a", "b"], 120))
  splits, _ = predictions.inner_splits(names, donors, side[2])
  assert len(splits) == 1
  assert set(donors[splits[0][1]]) == {"d0"}


def test_a_class_with_one_spot_stops_nothing(side):
  names = side[0].astype("<U4")
  names[0] = "rare"
  assert len(predictions.inner_splits(names, np.full(240, "d"), side[2])[0]) == 3


def test_a_fine_difference_takes_a_weak_penalty_and_a_faint_one_in_noise_a_strong_one(side):
  names, donors, sections = side
  splits, _ = predictions.inner_splits(names, donors, sections)
  rng = np.random.default_rng(1)
  number = np.searchsorted(["a", "b", "c"], names)
  large = rng.normal(size=(240, 1))
  fine = np.hstack([large, large + 0.05 * number[:, None]])
  faint = rng.normal(size=(240, 200)) + 0.3 * np.eye(200)[number]
  assert predictions.choose_penalty(fine, names, splits) == predictions.PENALTIES[-1]
  assert predictions.choose_penalty(faint, names, splits) < predictions.PENALTIES[-1]


def test_of_equally_good_penalties_the_strongest_is_taken(side):
  names, donors, sections = side
  splits, _ = predictions.inner_splits(names, donors, sections)
  clear = np.eye(3)[np.searchsorted(["a", "b", "c"], names)]
  assert predictions.choose_penalty(clear, names, splits) == predictions.PENALTIES[0]


def test_the_cap_keeps_all_of_a_rare_class_and_the_same_spots_each_time(side):
  names = np.repeat(["a", "b"], [230, 10])
  kept = predictions.capped(names, 25, np.random.default_rng(0))
  assert (names[kept] == "b").sum() == 10
  assert (names[kept] == "a").sum() == 25
  np.testing.assert_array_equal(kept, predictions.capped(names, 25, np.random.default_rng(0)))
  assert len(set(kept)) == 35


def test_the_note_says_how_the_probe_was_fitted_and_on_how_many_spots(annotated, monkeypatch):
  probe, note = predictions.fit(annotated, "blurred/image", "leaf")
  assert probe[-1].C in predictions.PENALTIES
  assert "inner folds of donors" in note
  assert "at most" not in note
  monkeypatch.setattr(predictions, "MAX_SPOTS_TO_CHOOSE", 20)
  monkeypatch.setattr(predictions, "MAX_SPOTS_PER_CLASS", 30)
  fitted = []
  monkeypatch.setattr(predictions, "_fit", lambda model, v, n: fitted.append(n) or model.fit(v, n))
  _, note = predictions.fit(annotated, "blurred/image", "leaf")
  assert "at most 20 spots a class to choose C on and 30 to fit" in note
  assert len(fitted[-1]) == 120
  assert max(len(names) for names in fitted[:-1]) < 80
