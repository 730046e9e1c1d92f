"""What counts say without the model's towers, against a few lines of NumPy."""

import numpy as np
import pytest

from data_pipelines.section import of_section
from hibio.export.counts import counts_alone
from hibio.export.reader import Reader
from hibio.training.tables import background
from tests.data_pipelines import hand_made


@pytest.fixture(scope="module")
def section():
  return hand_made.section("S", "D")


@pytest.fixture(scope="module")
def found(model, section):
  reader, config = Reader.of(model.checkpoint), model.checkpoint.model.config.keywords
  return counts_alone(of_section(section), reader.panel, reader.tables, config)


def test_counts_are_those_of_the_section_in_its_order(found, section):
  np.testing.assert_array_equal(found.counts, section.counts.toarray())


def test_keyword_scores_are_the_surprisal_of_each_gene_times_its_pattern_in_the_corpus(
  model, found
):
  share = found.counts / np.maximum(found.counts.sum(1, keepdims=True), 1)
  filled = found.counts.sum(1) > 0
  expected = share[filled].mean(0) + 1e-6
  want = share * np.maximum(np.log(np.maximum(share, 1e-6) / expected), 0)
  documents = (found.counts[filled] > 0).sum(0)
  want[:, documents < max(5, 0.005 * filled.sum())] = 0
  want[found.counts < 1] = 0
  want *= background(model.checkpoint.workdir)["corpus_spatial"] + 1e-4
  assert (want > 0).any()
  np.testing.assert_allclose(found.keyword_scores, want, atol=1e-6)


def test_activity_is_the_members_mean_above_all_genes_standardised_in_the_section(found):
  log = np.log1p(1e4 * found.counts / np.maximum(found.counts.sum(1, keepdims=True), 1))
  spread = log.std(0)
  z = np.where(spread > 1e-6, (log - log.mean(0)) / np.maximum(spread, 1e-6), 0)
  for number in range(found.activity.shape[1]):  # as the fixture lays them out
    want = z[:, 10 * number : 10 * number + 10].mean(1) - z.mean(1)
    got = found.activity[:, number]
    assert np.corrcoef(got, want)[0, 1] > 0.99
    np.testing.assert_allclose([got.mean(), got.std()], [0, 1], atol=1e-3)
