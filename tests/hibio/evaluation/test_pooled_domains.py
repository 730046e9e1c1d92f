import dataclasses

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from hibio.evaluation import domains


def _rows(cohort, features, seeds=2):
  cohort = dataclasses.replace(cohort, features={"x/gene": features.astype(np.float32)})
  found = domains.by_pooled_clustering(cohort, "x/gene", "leaf", "x/gene", "all", seeds=seeds)
  return {
    (row.metric, "centred" if "centred in" in row.protocol else "as they are"): row
    for row in found
  }  # fmt: skip


def _section_number(cohort):
  return np.unique(cohort.spots["section_id"], return_inverse=True)[1]


def test_the_truth_agrees_with_the_labels_and_not_with_the_sections(cohort):
  found = _rows(cohort, cohort.features["truth"])
  assert found["ari", "as they are"].value == pytest.approx(1)
  assert abs(found["section_ari", "as they are"].value) < 0.02
  for row in found.values():
    assert abs(row.chance) < 0.02


def test_a_batch_effect_shows_as_agreement_with_the_section_and_centring_takes_it_out(cohort):
  shift = 10.0 * np.eye(6)[_section_number(cohort)]
  found = _rows(cohort, np.concatenate([cohort.features["truth"], shift], axis=1))
  assert found["section_ari", "as they are"].value > 0.4
  assert found["ari", "as they are"].value < 0.1
  assert abs(found["section_ari", "centred"].value) < 0.02
  assert found["ari", "centred"].value > 0.9


def test_scores_are_those_of_scikit_learn(cohort):
  rng = np.random.default_rng(3)
  features = (cohort.features["truth"] + rng.normal(0, 0.5, (360, 4))).astype(np.float32)
  row = _rows(cohort, features)["ari", "as they are"]
  leaves = cohort.spots["leaf"]
  for seed in range(2):
    found = KMeans(4, n_init=5, random_state=seed).fit_predict(features)
    assert row.parts[f"seed {seed}"] == pytest.approx(adjusted_rand_score(leaves, found), abs=1e-6)
  assert row.value == pytest.approx(np.mean(list(row.parts.values())))


def test_unlabelled_spots_centre_their_section_and_are_not_scored(cohort):
  leaf = cohort.spots["leaf"].where(np.arange(360) % 3 > 0, "")
  some = dataclasses.replace(cohort, spots=cohort.spots.assign(leaf=leaf))
  row = _rows(some, cohort.features["truth"])["ari", "as they are"]
  assert row.n == 240
  centred = domains.centred(some, cohort.features["truth"])
  for _, rows in some.sections():
    np.testing.assert_allclose(centred[rows].mean(0), 0, atol=1e-6)


def test_one_section_gives_a_reason(cohort):
  alone = cohort.subset((cohort.spots["section_id"] == "s0").to_numpy())
  (row,) = domains.by_pooled_clustering(alone, "truth", "leaf", "m", "all")
  assert row.value is None
  assert row.note
