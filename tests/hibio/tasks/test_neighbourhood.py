import numpy as np

from hibio.tasks.neighbourhood import neighbour_mean


def test_means_equal_a_search_over_all_pairs_and_do_not_cross_sections(cohort):
  features = cohort.features["noise"]
  at, section = cohort.spots[["x_um", "y_um"]].to_numpy(), cohort.spots["section_id"].to_numpy()
  near = np.hypot(*(at[:, None] - at[None]).transpose(2, 0, 1)) <= 150
  own = near & (section[:, None] == section[None])
  want = np.stack([features[row].mean(0) for row in own])
  np.testing.assert_allclose(neighbour_mean(cohort, features, 150.0), want, atol=1e-6)
  assert (near & ~own).any()
  assert (own.sum(1) > 1).any()


def test_a_spot_alone_keeps_its_own_features(cohort):
  got = neighbour_mean(cohort, cohort.features["noise"], 0.0)
  np.testing.assert_allclose(got, cohort.features["noise"], atol=1e-6)
