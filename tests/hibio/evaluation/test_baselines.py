import numpy as np

from hibio.evaluation.baselines import counts as count_baselines


def test_principal_components_are_centred_in_each_section(cohort):
  scores = count_baselines.expression_pca(cohort.split("train"), cohort, components=5)
  for _, rows in cohort.sections():
    np.testing.assert_allclose(scores[rows].mean(0), 0, atol=1e-3)


def test_depth_is_the_only_thing_that_depth_sees(cohort):
  got = count_baselines.sequencing_depth(cohort)
  np.testing.assert_allclose(np.expm1(got[:, 0]), cohort.counts.toarray().sum(1), rtol=1e-4)


def test_the_highest_counts_of_a_spot_keep_their_values_and_the_rest_goes(cohort):
  before = cohort.counts.toarray()
  after = count_baselines.highest_counts(cohort, num_genes=7).counts.toarray()
  kept = after > 0
  assert (after[kept] == before[kept]).all()
  for own, stays in zip(before, kept, strict=True):
    assert stays.sum() == min(7, (own > 0).sum())
    assert own[stays].min() >= np.sort(own)[-7]
  np.testing.assert_array_equal(cohort.counts.toarray(), before)


def test_the_activity_of_gene_sets_is_standardised_and_says_what_its_genes_do(cohort):
  membership = np.zeros((2, 40), bool)
  membership[0, :6], membership[1, 6:12] = True, True
  found = count_baselines.gene_set_activity(cohort, membership)
  for _, rows in cohort.sections():
    np.testing.assert_allclose(found[rows].mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(found[rows].std(0), 1, atol=1e-5)
  counts = cohort.counts.toarray()
  share = counts[:, :6].sum(1) / np.maximum(counts.sum(1), 1)
  own, other = (np.corrcoef(share, one)[0, 1] for one in found.T)
  assert own > 0.5
  assert own > other + 0.3


def test_a_set_that_is_hardly_measured_says_nothing_and_neither_does_a_spot_without_counts(cohort):
  membership = np.zeros((2, 40), bool)
  membership[0, :6], membership[1, 6:8] = True, True
  cohort.spots.loc[5, "has_counts"] = False
  found = count_baselines.gene_set_activity(cohort, membership)
  assert (found[:, 1] == 0).all()
  assert (found[5] == 0).all()
  assert (found[np.arange(360) != 5, 0] != 0).mean() > 0.9
