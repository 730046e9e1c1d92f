"""The random split: reported, and never without saying that it leaks."""

import dataclasses

import numpy as np

from hibio.evaluation import annotation


def _row(cohort, feature):
  (row,) = annotation.random_split(cohort, feature, "leaf", "m")
  return row


def test_the_random_split_is_marked_leaky_with_the_reason(annotated):
  row = _row(annotated, "truth/gene")
  assert "LEAKY: neighbouring spots on both sides" in row.protocol
  assert "LEAKY" in row.split
  assert len(row.parts) == 5


def test_the_truth_scores_one_and_noise_the_chance_that_is_printed(annotated):
  assert _row(annotated, "truth/gene").value == 1.0
  noise = _row(annotated, "noise/image")
  assert 0.15 < noise.chance < 0.35
  assert abs(noise.value - noise.chance) < 0.1


def test_it_does_leak_a_feature_that_only_knows_the_section_scores_above_chance(annotated):
  section = annotated.spots["section_id"].str[1:].astype(int).to_numpy()
  spots = annotated.spots.assign(leaf=[f"leaf{s // 2}" for s in section])
  annotated.features["place/image"] = np.eye(6, dtype=np.float32)[section]
  row = _row(dataclasses.replace(annotated, spots=spots), "place/image")
  assert row.value > row.chance + 0.5


def test_too_few_spots_give_a_reason(annotated):
  row = _row(annotated.subset(np.arange(360) < 12), "truth/gene")
  assert row.value is None
  assert "one class on one side" in row.note
