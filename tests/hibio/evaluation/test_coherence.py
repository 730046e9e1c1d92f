import numpy as np
import pytest

from hibio.evaluation.expression_scores import coherence


def test_perfect_predictions_are_fully_coherent():
  members = np.random.default_rng(0).random((6, 40)) < 0.4
  found = coherence(np.ones(40), members)
  assert found.value == pytest.approx(1)
  assert found.chance == pytest.approx(1)
  assert found.num_sets == 6


def test_a_set_predicted_better_than_the_rest_stands_out_of_chance():
  members = np.zeros((2, 40), bool)
  members[0, :10] = members[1, 10:] = True
  correlation = np.where(members[0], 0.9, 0.1)
  found = coherence(correlation, members)
  assert found.value == pytest.approx(0.5)
  assert found.chance == pytest.approx(0.3)
  assert found.value > found.chance + 3 * found.chance_sd


def test_chance_is_what_random_sets_of_the_same_sizes_give():
  rng = np.random.default_rng(1)
  members = rng.random((5, 60)) < 0.2
  members[0] |= ~members.any(0)
  correlation = rng.random(60)
  found = coherence(correlation, members)
  random = [
    np.mean([correlation[rng.permutation(60)[:size]].mean() for size in members.sum(1)])
    for _ in range(2000)
  ]
  assert found.chance == pytest.approx(np.mean(random), abs=4 * np.std(random) / 2000**0.5)


def test_unscored_genes_and_small_sets_do_not_count():
  members = np.zeros((2, 20), bool)
  members[0, :8], members[1, 8:12] = True, True
  correlation = np.full(20, 0.5)
  correlation[:2] = np.nan
  found = coherence(correlation, members)
  assert found.value == pytest.approx(0.5)
  assert found.num_sets == 1
  correlation[:4] = np.nan
  assert coherence(correlation, members) is None
