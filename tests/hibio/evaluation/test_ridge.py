import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.preprocessing import StandardScaler

from hibio.evaluation import expression_probes


@pytest.fixture(scope="module")
def problem():
  """Four donors that differ in their mean, and three genes that follow the features."""
  rng = np.random.default_rng(0)
  donor = np.repeat(np.arange(4), 60)
  features = (rng.normal(size=(240, 10)) * 3 + donor[:, None]).astype(np.float32)
  targets = features @ rng.normal(size=(10, 3)) + rng.normal(size=(240, 3)) * 5 + 7
  spots = pd.DataFrame(
    {"donor_id": [f"d{d}" for d in donor], "section_id": [f"s{d}" for d in donor]}
  )
  return features, targets.astype(np.float32), spots


def _penalty(note: str) -> float:
  return float(note.split()[1])


def test_predictions_equal_scikit_learn_at_the_chosen_penalty(problem):
  features, targets, spots = problem
  predicted, note = expression_probes.ridge_cv(features, spots, features[:30] * 1.1)(targets)
  scaler = StandardScaler().fit(features)
  want = Ridge(_penalty(note)).fit(scaler.transform(features), targets)
  want = want.predict(scaler.transform(features[:30] * 1.1))
  np.testing.assert_allclose(predicted, want, rtol=1e-5, atol=1e-4)  # float32, values about 10


def test_the_penalty_is_the_best_one_on_left_out_donors(problem):
  features, targets, spots = problem
  x, donors = StandardScaler().fit_transform(features), spots["donor_id"].to_numpy()
  errors = []
  for penalty in expression_probes.PENALTIES:
    error, spread = 0.0, 0.0
    for donor in set(donors):
      out = donors == donor
      model = Ridge(penalty).fit(x[~out], targets[~out])
      error = error + ((targets[out] - model.predict(x[out])) ** 2).sum(0)
      spread = spread + ((targets[out] - targets[~out].mean(0)) ** 2).sum(0)
    errors.append((error / spread).mean())
  _, note = expression_probes.ridge_cv(features, spots, features)(targets)
  assert _penalty(note) == expression_probes.PENALTIES[int(np.argmin(errors))]
  assert "donors" in note


def test_noise_asks_for_a_larger_penalty_than_signal(problem):
  features, targets, spots = problem
  noise = np.random.default_rng(1).normal(size=targets.shape).astype(np.float32)
  predicted, said_of_noise = expression_probes.ridge_cv(features, spots, features)(noise)
  _, said_of_signal = expression_probes.ridge_cv(features, spots, features)(targets)
  assert _penalty(said_of_noise) > 100 * _penalty(said_of_signal)
  assert r2_score(noise, predicted) < 0.05


def test_no_donor_lies_on_both_sides_of_an_inner_fold():
  donors = np.random.default_rng(0).integers(0, 9, 300)
  spots = pd.DataFrame({"donor_id": donors.astype(str), "section_id": "s"})
  folds, _ = expression_probes.inner_folds(spots)
  assert len(folds) == 5
  assert sorted(np.concatenate(folds)) == list(range(300))
  for rows in folds:
    assert not set(donors[rows]) & set(np.delete(donors, rows))


def test_one_donor_is_divided_by_sections_and_one_section_by_blocks_and_both_are_said():
  one_donor = pd.DataFrame({"donor_id": "d", "section_id": ["a"] * 30 + ["b"] * 20})
  folds, words = expression_probes.inner_folds(one_donor)
  assert sorted(map(len, folds)) == [20, 30]
  assert words == "sections of one donor"
  sections = one_donor.assign(donor_id=one_donor["section_id"])  # held out one by one
  assert expression_probes.inner_folds(sections)[1] == "sections"
  folds, words = expression_probes.inner_folds(one_donor[:30])
  assert all(np.ptp(rows) == len(rows) - 1 for rows in folds)
  assert words == "blocks of one section"


def test_a_single_spot_still_gives_its_own_mean():
  spots = pd.DataFrame({"donor_id": ["d"], "section_id": ["s"]})
  one = np.ones((1, 4), np.float32)
  predicted, _ = expression_probes.ridge_cv(one, spots, one)(np.full((1, 2), 3, np.float32))
  np.testing.assert_allclose(predicted, 3)
