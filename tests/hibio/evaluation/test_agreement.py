import numpy as np
import pytest
from sklearn import metrics

from hibio.evaluation.agreement import agreement, ari, contingency, layer_f1


def _partitions():
  rng = np.random.default_rng(0)
  labels = rng.integers(0, 5, 200)
  noisy = np.where(rng.random(200) < 0.3, rng.integers(0, 7, 200), labels)
  each, one = np.arange(200), np.zeros(200, int)
  return [(labels, noisy), (labels, labels), (labels, one), (one, labels), (one, one),
          (labels, each), (each, each), (labels, rng.permutation(labels))]  # fmt: skip


@pytest.mark.parametrize(("labels", "domains"), _partitions())
def test_the_figures_are_those_of_scikit_learn(labels, domains):
  found = agreement(contingency(labels, domains))
  homogeneity, _, nmi = metrics.homogeneity_completeness_v_measure(labels, domains)
  assert found["ari"] == metrics.adjusted_rand_score(labels, domains)
  assert found["nmi"] == pytest.approx(nmi, abs=1e-12)
  assert found["ami"] == pytest.approx(
    metrics.adjusted_mutual_info_score(labels, domains), abs=1e-9
  )
  assert found["homogeneity"] == pytest.approx(homogeneity, abs=1e-12)


def test_rand_index_counts_pairs_of_more_spots_than_fit_into_32_bits():
  table = np.array([[60_000, 40_000], [0, 100_000]])
  labels, domains = (np.repeat(one, table.ravel()) for one in ([0, 0, 1, 1], [0, 1, 0, 1]))
  assert ari(table) == metrics.adjusted_rand_score(labels, domains)


def test_layer_f1_is_the_best_one_to_one_naming_of_domains():
  annotated = np.array([0, 0, 0, 1, 1, 2])
  found = np.array([7, 7, 3, 3, 3, 3])
  named = np.where(found == 7, 0, 1)  # of three layers two find a domain
  want = metrics.f1_score(annotated, named, labels=[0, 1, 2], average=None, zero_division=0)
  np.testing.assert_allclose(layer_f1(contingency(annotated, found)), want, atol=1e-9)
