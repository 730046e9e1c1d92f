import numpy as np
import pytest

from hibio.evaluation import ranking
from hibio.evaluation.ranking import Target, stand


def _own(n):
  return Target(lambda rows: rows[:, None] == np.arange(n), np.ones(n, bool))


@pytest.fixture
def vectors():
  rng = np.random.default_rng(0)
  return rng.normal(size=(2, 30, 5)).astype(np.float32)


STARTS = np.array([0, 12, 13])
SECTION = np.repeat([0, 1, 2], [12, 1, 17])


def test_ranks_agree_with_a_brute_force_order(vectors):
  queries, items = vectors
  found, _ = stand(queries, items, STARTS, {"own": _own(30)})
  everywhere = found["own"].rank(np.ones((30, 3), bool))
  inside = found["own"].rank(SECTION[:, None] == np.arange(3))
  for query in range(30):
    order = np.argsort(-(items @ queries[query]))
    assert everywhere[query] == np.flatnonzero(order == query)[0] + 1
    order = [item for item in order if SECTION[item] == SECTION[query]]
    assert inside[query] == order.index(query) + 1


def test_the_best_of_several_right_answers_counts(vectors):
  queries, items = vectors
  right = np.random.default_rng(1).random((30, 30)) < 0.2
  right[4] = False
  target = Target(lambda rows: right[rows], np.ones(30, bool))
  found, _ = stand(queries, items, STARTS, {"some": target})
  rank = found["some"].rank(np.ones((30, 3), bool))
  np.testing.assert_array_equal(found["some"].num_right, right.sum(1))
  for query in range(30):
    order = np.argsort(-(items @ queries[query]))
    want = np.flatnonzero(right[query][order])[0] + 1 if query != 4 else np.nan
    np.testing.assert_equal(rank[query], want)


def test_what_is_no_candidate_is_passed_over(vectors):
  queries, items = vectors
  candidates = np.random.default_rng(2).random(30) < 0.5
  target = Target(lambda rows: (rows[:, None] == np.arange(30)) & candidates, candidates)
  found, _ = stand(queries, items, STARTS, {"own": target})
  rank = found["own"].rank(np.ones((30, 3), bool))
  for query in np.flatnonzero(candidates):
    order = [item for item in np.argsort(-(items @ queries[query])) if candidates[item]]
    assert rank[query] == order.index(query) + 1
  assert np.isnan(rank[~candidates]).all()


def test_a_tie_counts_as_its_expected_rank():
  items = np.array([[1.0], [2.0], [2.0], [0.5]], np.float32)
  found, _ = stand(np.ones((4, 1), np.float32), items, np.array([0]), {"own": _own(4)})
  assert found["own"].rank(np.ones((4, 1), bool)).tolist() == [3.0, 1.5, 1.5, 4.0]


def test_a_tie_with_what_is_no_candidate_is_no_tie():
  candidates = np.array([True, False, False, True])
  target = Target(lambda rows: rows[:, None] == np.arange(4), candidates)
  ones = np.ones((4, 1), np.float32)
  found, _ = stand(ones, ones, np.array([0]), {"own": target})
  assert found["own"].rank(np.ones((4, 1), bool))[0] == 1.5


def test_right_answers_in_a_tie_stand_where_a_random_order_puts_the_first_of_them():
  right = np.zeros((1, 10), bool)
  right[0, :3] = True
  target = Target(lambda rows: right[rows], np.ones(10, bool))
  found, _ = stand(
    np.ones((1, 1), np.float32), np.ones((10, 1), np.float32), np.array([0]), {"t": target}
  )
  orders = np.argsort(np.random.default_rng(3).random((20_000, 10)), axis=1)
  first = 1 + (orders < 3).argmax(axis=1)
  rank = found["t"].rank(np.ones((1, 1), bool))[0]
  assert rank == pytest.approx(11 / 4)
  assert abs(rank - first.mean()) < 4 * first.std() / np.sqrt(len(first))


def test_blocks_change_nothing(vectors, monkeypatch):
  queries, items = vectors
  whole, first = stand(queries, items, STARTS, {"own": _own(30)})
  monkeypatch.setattr(ranking, "_BLOCK_ENTRIES", 7 * 30)
  pieces, first_in_pieces = stand(queries, items, STARTS, {"own": _own(30)})
  np.testing.assert_array_equal(whole["own"].better, pieces["own"].better)
  np.testing.assert_array_equal(first, first_in_pieces)


def test_a_first_place_shared_by_sections_is_divided():
  items = np.array([[2.0], [1.0], [2.0], [2.0]], np.float32)
  _, first = stand(np.ones((4, 1), np.float32), items, np.array([0, 2]), {})
  np.testing.assert_allclose(first[0], [1 / 3, 2 / 3])
