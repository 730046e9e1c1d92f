import dataclasses

import numpy as np
import scipy.sparse

from hibio.evaluation import gene_lists
from hibio.evaluation.expression import prepare
from hibio.evaluation.folds import Fold


def test_variance_and_mean_equal_numpy_section_by_section(cohort):
  parts = [cohort.log_expression()[rows] for _, rows in cohort.sections()]
  np.testing.assert_allclose(
    gene_lists.variance_within_sections(cohort),
    np.mean([part.var(0) for part in parts], 0),
    rtol=1e-4,
  )
  np.testing.assert_allclose(
    gene_lists.mean_expression(cohort), np.mean([part.mean(0) for part in parts], 0), rtol=1e-4
  )


def test_a_difference_between_sections_is_not_variance(cohort):
  counts = np.ones((360, 40), int)
  counts[:180, 0] = 7
  counts[:, 1] = np.arange(360) % 2
  found = gene_lists.choose(
    dataclasses.replace(cohort, counts=scipy.sparse.csr_matrix(counts)), np.ones(40, bool)
  )
  assert found["hvg50"][0] == 1


def test_a_gene_that_one_section_lacks_is_never_picked(cohort):
  first = gene_lists.choose(cohort, np.ones(40, bool))["hvg50"][0]
  lacking = {**cohort.measured, "s5": np.arange(40) != first}
  asked = prepare(dataclasses.replace(cohort, measured=lacking), [Fold("donor_id", "d2")])
  for genes in asked.folds[0].genes.values():
    assert len(genes) == 39
    assert first not in genes


def test_lists_do_not_depend_on_the_spots_that_are_scored(cohort):
  fold = Fold("donor_id", "d2")
  changed = cohort.counts.toarray()
  test = (cohort.spots["donor_id"] == "d2").to_numpy()
  changed[test] = np.random.default_rng(0).poisson(9, changed[test].shape)
  other = dataclasses.replace(cohort, counts=scipy.sparse.csr_matrix(changed))
  (before,), (after,) = prepare(cohort, [fold]).folds, prepare(other, [fold]).folds
  for name, genes in before.genes.items():
    np.testing.assert_array_equal(genes, after.genes[name])
  whole = gene_lists.choose(other, np.ones(40, bool))
  assert any(list(before.genes[name]) != list(whole[name]) for name in whole)


def test_a_gene_without_a_count_is_in_no_list(cohort):
  counts = cohort.counts.toarray()
  counts[:, 3] = 0
  silent = dataclasses.replace(cohort, counts=scipy.sparse.csr_matrix(counts))
  for genes in gene_lists.choose(silent, np.ones(40, bool)).values():
    assert 3 not in genes
