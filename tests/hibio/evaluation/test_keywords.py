from __future__ import annotations

import numpy as np
import pytest

from hibio.evaluation import keyword_lists, keywords


@pytest.fixture(scope="module")
def rows(evaluation):
  return [row for row in evaluation.rows if row.task == "keywords"]


def _by_method(rows, protocol, metric):
  return {
    row.method: row for row in rows if row.protocol.startswith(protocol) and row.metric == metric
  }


def test_purity_is_one_for_the_planted_genes_and_zero_for_all_others():
  planted = np.random.default_rng(0).random((20, 30)) < 0.5
  assert (keywords.purity(planted.astype(np.float32), planted, 5) == 1.0).all()
  assert (keywords.purity((~planted).astype(np.float32), planted, 5) == 0.0).all()


def test_genes_that_score_nothing_are_not_picked():
  assert keywords.purity(np.zeros((1, 4)), np.ones((1, 4), bool), 2) == 0.0


def test_no_score_is_purer_than_the_oracle_and_chance_is_the_same_for_all(rows):
  purity = _by_method(rows, "top 50", "purity")
  assert max(purity, key=lambda method: purity[method].value) == "oracle"
  assert len({row.chance for row in purity.values()}) == 1
  assert _by_method(rows, "top 50", "housekeeping_share")["oracle"].value == 0.0


def test_reweighted_scores_pick_less_housekeeping_than_raw_counts_at_the_same_k(rows, evaluation):
  share = _by_method(rows, "what is picked", "housekeeping_share")
  assert share["tf_idf"].value < share["raw"].value
  k = evaluation.setting.model.model.config.keywords.num_keywords
  for one in keywords.lists(evaluation.setting).values():
    assert {len(picked.genes) for picked in one.of.values()} == {k}


def test_no_list_is_more_spatial_than_the_one_ranked_by_morans_i_and_shuffled_spots_have_none(rows):
  spatial = _by_method(rows, "what is picked", "morans_i")
  assert max(spatial, key=lambda method: spatial[method].value) == keyword_lists.SVG
  for method, row in _by_method(rows, "what is picked", "morans_i_shuffled_spots").items():
    assert abs(row.value - row.chance) < 0.05, method


def test_a_list_overlaps_wholly_with_itself_and_chance_is_what_random_lists_give(rows):
  for row in (row for row in rows if row.protocol.startswith("overlap")):
    assert (row.value == 1.0) == (row.method == row.metric)
    assert 0 < row.chance < 0.2
