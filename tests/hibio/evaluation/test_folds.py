import dataclasses

import numpy as np

from hibio.evaluation import folds
from hibio.evaluation.cohort import modality


def test_each_donor_is_scored_by_what_was_fitted_on_the_others(cohort):
  found = folds.folds_of(cohort, ["d1", "d2"])
  assert [fold.held_out for fold in found] == ["d1", "d2"]
  for fold in found:
    fit, test = fold.split(cohort)
    assert set(test.spots["donor_id"]) == {fold.held_out}
    assert not set(fit.spots["donor_id"]) & set(test.spots["donor_id"])
    assert len(fit.spots) + len(test.spots) == len(cohort.spots)
  assert "LEAKY" not in folds.described(found)


def test_sections_of_a_single_donor_are_held_out_and_said_to_leak(cohort):
  one = cohort.subset((cohort.spots["donor_id"] == "d0").to_numpy())
  found = folds.folds_of(one, ["d0"])
  assert [fold.held_out for fold in found] == ["s0", "s1"]
  assert all(fold.leaky for fold in found)
  assert "LEAKY" in folds.described(found)


def test_a_section_held_out_alone_says_whether_others_of_its_patient_are_fitted_on(cohort):
  alone = dataclasses.replace(
    cohort, spots=cohort.spots.assign(donor_id=cohort.spots["section_id"])
  ).subset((cohort.spots["section_id"] != "s5").to_numpy())
  for name, same in (("s2", True), ("s4", False)):  # s5 was s4's only sister
    (fold,) = found = folds.folds_of(alone, [name])
    assert set(fold.split(alone)[1].spots["section_id"]) == {name}
    said = folds.described(found)
    assert said.startswith(f"leave-one-section-out: {name}")
    assert ("other sections of the same patient were trained on" in said) == same
    assert "LEAKY" not in said


def test_a_single_section_cannot_be_divided(cohort):
  one = cohort.subset((cohort.spots["section_id"] == "s0").to_numpy())
  assert folds.folds_of(one, ["d0"]) == []


def test_a_feature_is_only_read_where_it_has_something_to_see(cohort):
  spots = cohort.spots.assign(has_patch=np.arange(len(cohort.spots)) < 100)
  some = dataclasses.replace(cohort, spots=spots)
  assert len(some.seen_by("hibio/image").spots) == 100
  assert len(some.seen_by("hibio/gene@region1").spots) == len(spots)
  assert len(some.seen_by("hibio/fused").spots) == 100
  assert modality("hibio/image@region2") == "image"
