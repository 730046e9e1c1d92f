from fractions import Fraction
from math import comb

import numpy as np
import pytest

from hibio.evaluation import ranking

RNG = np.random.default_rng(0)


def test_chance_of_a_hit_is_the_binomial_formula():
  for size, right, k in [(60, 1, 1), (60, 7, 10), (950, 7, 50), (5, 2, 50), (10, 6, 5), (9, 9, 1)]:
    want = 1 - Fraction(comb(size - right, min(k, size)), comb(size, min(k, size)))
    (got,) = ranking.chance_of_hit(*(np.array([value]) for value in (size, right, k)))
    assert got == pytest.approx(float(want), abs=1e-9)


def test_chance_of_a_hit_equals_a_monte_carlo_estimate():
  orders = np.argsort(RNG.random((20_000, 40)), axis=1)
  for right, k in [(1, 5), (7, 5), (7, 1)]:
    seen = (orders[:, :k] < right).any(axis=1).mean()
    (chance,) = ranking.chance_of_hit(np.array([40]), np.array([right]), np.array([k]))
    assert abs(chance - seen) < 4 * np.sqrt(chance * (1 - chance) / len(orders))


def _random_ranks(sizes, repeats=40_000):
  size = np.repeat(sizes, repeats)
  return 1.0 + np.floor(RNG.random(len(size)) * size), size


def test_random_ranks_score_chance_in_every_metric():
  rank, size = _random_ranks([20, 50, 333])
  one = np.ones(len(size), int)
  scores = [
    *ranking.recalls(rank, size, one),
    *ranking.share_recalls(rank, size, one),
    ranking.reciprocal_ranks(rank, size),
  ]
  assert len(scores) == 8
  for score in scores:
    error = score.values.std() / np.sqrt(len(size))
    assert abs(score.values.mean() - score.chance.mean()) < 4 * error + 1e-12, score.metric
  value, chance = ranking.median_rank(rank, size)
  assert abs(value - chance) <= 1
  value, chance = ranking.median_rank_share(rank, size)
  assert value == pytest.approx(chance, abs=0.02)


def test_the_median_of_one_gallery_is_its_middle():
  for size in (7, 8):
    rank = np.arange(1.0, size + 1)
    value, chance = ranking.median_rank(rank, np.full(size, size))
    assert value == chance == (size + 1) / 2


def test_a_share_of_the_gallery_is_rounded_up():
  sizes = np.array([60, 300, 700])
  by_share = {
    score.metric: score for score in ranking.share_recalls(np.ones(3), sizes, np.ones(3, int))
  }
  np.testing.assert_allclose(by_share["recall@1%"].chance, [1 / 60, 3 / 300, 7 / 700])
  np.testing.assert_allclose(by_share["recall@10%"].chance, [6 / 60, 30 / 300, 70 / 700])


def test_chance_of_the_reciprocal_rank_is_the_mean_over_all_ranks():
  for size in (1, 7, 950):
    want = np.mean([1 / rank for rank in range(1, size + 1)])
    score = ranking.reciprocal_ranks(np.ones(1), np.array([size]))
    assert score.chance[0] == pytest.approx(want, abs=1e-9)


def test_first_ranks_score_one_in_every_metric():
  rank, size, one = np.ones(5), np.full(5, 100), np.ones(5, int)
  scores = [*ranking.recalls(rank, size, one), *ranking.share_recalls(rank, size, one)]
  assert all((score.values == 1).all() for score in scores)
  assert (ranking.reciprocal_ranks(rank, size).values == 1).all()
  assert ranking.median_rank(rank, size)[0] == 1
