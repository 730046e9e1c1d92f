import numpy as np

from hibio.tasks import baselines


def test_principal_components_are_centred_in_each_section(cohort):
  scores = baselines.expression_pca(cohort.split("train"), cohort, components=5)
  for _, rows in cohort.sections():
    np.testing.assert_allclose(scores[rows].mean(0), 0, atol=1e-3)


def test_depth_is_the_only_thing_that_depth_sees(cohort):
  got = baselines.sequencing_depth(cohort)
  np.testing.assert_allclose(np.expm1(got[:, 0]), cohort.counts.toarray().sum(1), rtol=1e-4)
