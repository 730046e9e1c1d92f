from __future__ import annotations

import numpy as np
import pytest

from hibio.evaluation import keyword_lists


def test_the_share_of_spots_counts_real_keywords_only():
  gene = np.array([[0, 2], [2, 1], [2, 0]])
  mask = np.array([[True, True], [True, False], [True, True]])
  np.testing.assert_allclose(keyword_lists.picked_share(gene, mask, 4), [2 / 3, 0, 1, 0])


def test_weight_is_added_up_over_spots():
  gene = np.array([[0, 2], [2, 1]])
  weight = np.array([[0.75, 0.25], [1.0, 0.0]])
  np.testing.assert_allclose(keyword_lists.held_weight(gene, weight, 4), [0.375, 0, 0.625, 0])


def test_a_list_holds_the_best_genes_and_none_that_nobody_picks():
  score = np.array([0.1, 0.0, 0.7, np.nan, 0.7])
  np.testing.assert_array_equal(keyword_lists.best(score, 2), [2, 4])
  np.testing.assert_array_equal(keyword_lists.best(score, 5), [2, 4, 0])


def test_jaccard_is_common_genes_over_all_genes():
  assert keyword_lists.jaccard([1, 2, 3], np.array([2, 3, 4, 5])) == pytest.approx(2 / 5)
  assert keyword_lists.jaccard([], []) == 0.0


def test_pairs_of_sections_are_told_apart_by_donor():
  lists = {"a1": np.array([1, 2]), "a2": np.array([1, 2]), "b1": np.array([3, 4])}
  same, other = keyword_lists.stability(lists, {"a1": "a", "a2": "a", "b1": "b"})
  assert same == [1.0]
  assert other == [0.0, 0.0]
