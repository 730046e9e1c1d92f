"""Keyword scores against plain NumPy, and on counts in which the right keyword is planted."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse

from data_pipelines.preparation import statistics
from data_pipelines.problems import BadInputError
from hibio import keywords
from hibio.batch import SectionStatistics
from hibio.configs import KeywordConfig
from hibio.expression import fraction

GENES, SPOTS = 48, 60
HOUSEKEEPING, LOCAL, SINGLE = 0, 1, 2
CONFIG = KeywordConfig(num_keywords=8, spatial_power=0.0)


@pytest.fixture(scope="module")
def counts():
  """Two sections; gene 0 is high everywhere, gene 1 in ten spots, gene 2 in one spot."""
  rng = np.random.default_rng(0)
  rate = rng.lognormal(0, 1.0, GENES)
  counts = rng.poisson(rate, (2, SPOTS, GENES)).astype(np.int32)
  counts[..., HOUSEKEEPING] = rng.poisson(60, (2, SPOTS))
  counts[..., LOCAL] = 0
  counts[:, :10, LOCAL] = 30
  counts[..., SINGLE] = 0
  counts[0, 20, SINGLE] = 50
  return counts


@pytest.fixture(scope="module")
def tables(counts):
  every = np.ones(GENES, bool)
  pathway = np.ones((1, GENES), bool)
  sections = [
    statistics.section_table(scipy.sparse.csr_matrix(one), every, pathway) for one in counts
  ]
  pattern = np.random.default_rng(1).random(GENES).astype(np.float32)
  return SectionStatistics(
    **statistics.corpus_statistics(sections, np.ones(2, bool)), corpus_spatial=pattern
  )


def scored(counts, tables, section=(0, 1), **changes):
  config = dataclasses.replace(CONFIG, **changes)
  return np.asarray(
    keywords.keyword_scores(jnp.asarray(counts), tables, jnp.asarray(section), config)
  )


def reference(name, counts, document_share, mean):
  """One spot after the other, straight from the definitions."""
  out = np.zeros(counts.shape)
  for window, spot, gene in np.argwhere(counts > 0):
    tf = counts[window, spot, gene] / counts[window, spot].sum()
    idf = -np.log(document_share[window, gene])
    out[window, spot, gene] = {
      "raw": tf,
      "tf_idf": tf * idf,
      "tf_idf_smooth": tf * (idf + 1),
      "surprisal": tf * max(0.0, np.log(tf / (mean[window, gene] + 1e-6))),
    }[name]
  return out


@pytest.mark.parametrize("name", list(keywords.SCORES))
def test_scores_equal_their_definition(name, counts, tables):
  share = (1 + (counts > 0).sum(1)) / (1 + SPOTS)
  mean = (counts / counts.sum(-1, keepdims=True)).mean(1)
  got = scored(counts, tables, score=name, min_documents=0, min_document_share=0.0)
  want = reference(name, counts, share, mean)
  np.testing.assert_allclose(got, want, rtol=2e-4, atol=1e-6)  # float32 logs near 1


@pytest.mark.parametrize("name", ["tf_idf", "surprisal"])
def test_a_local_gene_outranks_a_ubiquitous_one_that_is_twice_as_high(name, counts, tables):
  scores = scored(counts, tables, score=name)[:, :10]
  assert (scores[..., LOCAL] > 3 * scores[..., HOUSEKEEPING]).all()
  raw = scored(counts, tables, score="raw")[:, :10]
  assert (raw[..., HOUSEKEEPING] > raw[..., LOCAL]).mean() > 0.9


def test_a_gene_of_one_spot_is_no_keyword_however_high(counts, tables):
  assert scored(counts, tables)[0, 20, SINGLE] == 0
  assert scored(counts, tables, min_documents=1)[0, 20, SINGLE] > 0
  assert scored(counts, tables, min_documents=1, min_document_share=0.05)[0, 20, SINGLE] == 0


def test_a_gene_with_too_few_counts_in_the_spot_is_no_keyword_there(counts, tables):
  scores = scored(counts, tables, min_count=2)
  assert (scores[counts < 2] == 0).all()
  np.testing.assert_array_equal(scores[counts >= 2], scored(counts, tables)[counts >= 2])


def test_a_score_that_does_not_exist_is_answered_with_those_that_do(counts, tables):
  with pytest.raises(BadInputError, match="surprisal"):
    scored(counts, tables, score="tfidf")


def top(counts, tables, num_keywords=8, measured=None):
  counts = jnp.asarray(counts)
  measured = jnp.ones((2, GENES), bool) if measured is None else measured
  scores = keywords.keyword_scores(counts, tables, jnp.array([0, 1]), CONFIG)
  shares = fraction(counts, jnp.ones((2, 1, GENES), bool))
  return scores, *keywords.top_keywords(scores, shares, measured, num_keywords)


def test_keywords_are_the_highest_scores_in_order_and_their_weights_sum_to_1(counts, tables):
  scores, found, _ = top(counts, tables)
  order = np.argsort(-np.asarray(scores), axis=-1, kind="stable")[..., :8]
  best = np.take_along_axis(np.asarray(scores), order, -1)
  kept = np.asarray(found.mask)
  np.testing.assert_array_equal(kept, best > 0)
  np.testing.assert_array_equal(np.asarray(found.gene)[kept], order[kept])
  weight = (best / best.sum(-1, keepdims=True))[kept]
  np.testing.assert_allclose(np.asarray(found.weight)[kept], weight, rtol=1e-5)
  shares = np.take_along_axis(counts / counts.sum(-1, keepdims=True), order, -1)
  np.testing.assert_allclose(np.asarray(found.fraction)[kept], shares[kept], rtol=1e-6)
  np.testing.assert_allclose(np.asarray(found.weight).sum(-1), 1.0, rtol=1e-5)


def test_the_weights_over_all_genes_are_the_keywords_weights_and_nothing_else(counts, tables):
  _, found, dense = top(counts, tables)
  want = np.zeros(dense.shape, np.float32)
  for window, spot in np.ndindex(want.shape[:2]):
    for k in np.flatnonzero(np.asarray(found.mask)[window, spot]):
      want[window, spot, found.gene[window, spot, k]] = found.weight[window, spot, k]
  np.testing.assert_array_equal(dense, want)


def test_a_small_panel_keeps_at_most_a_quarter_of_its_genes(counts, tables):
  measured = jnp.broadcast_to(jnp.arange(GENES) < 16, (2, GENES))
  _, found, dense = top(counts, tables, measured=measured)
  assert int(found.mask.sum(-1).max()) == 4
  assert int((dense > 0).sum(-1).max()) == 4
  np.testing.assert_allclose(dense.sum(-1), 1.0, rtol=1e-5)


def test_an_empty_spot_has_no_keywords_and_no_weight(counts, tables):
  empty = counts.copy()
  empty[1, 7] = 0
  _, found, dense = top(empty, tables)
  assert not np.asarray(found.mask)[1, 7].any()
  assert (np.asarray(found.weight)[1, 7] == 0).all()
  assert (np.asarray(dense)[1, 7] == 0).all()


def test_more_keywords_than_genes_are_no_error(counts, tables):
  _, found, _ = top(counts, tables, num_keywords=500)
  assert found.gene.shape == (2, SPOTS, GENES)


def test_a_gene_in_patterns_over_the_tissue_beats_one_scattered_as_strongly(counts, tables):
  spatial = np.zeros(GENES, np.float32)
  spatial[5] = 0.2
  patterned = tables.replace(corpus_spatial=spatial)
  plain = scored(counts, patterned, spatial_power=0.0)
  weighed = scored(counts, patterned, spatial_power=1.0)
  np.testing.assert_allclose(weighed[..., 5], plain[..., 5] * (0.2 + 1e-4), rtol=1e-5)
  np.testing.assert_allclose(weighed[..., 6], plain[..., 6] * 1e-4, rtol=1e-5)
  assert (plain[..., 5] > 0).any()
  assert (plain[..., 6] > 0).any()


def test_where_no_gene_has_a_pattern_the_same_keywords_are_picked(counts, tables):
  nothing = tables.replace(corpus_spatial=np.zeros(GENES, np.float32))
  plain, weighed = (scored(counts, nothing, spatial_power=power) for power in (0.0, 1.0))
  np.testing.assert_allclose(weighed, plain * 1e-4, rtol=1e-5)
