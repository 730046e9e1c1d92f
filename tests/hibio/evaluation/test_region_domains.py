import numpy as np
import pytest
from sklearn import metrics

from hibio.evaluation import domains as domain_rows


@pytest.fixture
def regions(cohort):
  """Two levels: regions of about five spots of one leaf, and sections."""
  section = np.arange(360) // 60
  leaf = cohort.spots["leaf"].str[4:].astype(int).to_numpy()
  fine = np.unique(section * 100 + leaf * 10 + np.arange(360) % 3, return_inverse=True)[1]
  return np.stack([fine, section])


def _rows(cohort, regions):
  found = list(domain_rows.by_region_tree(cohort, regions, "truth", "leaf", "m", "all"))
  return {("cut" in row.protocol, row.protocol.split()[2][0], row.metric): row for row in found}


def test_a_region_feature_is_the_mean_of_the_region_and_constant_inside():
  rng = np.random.default_rng(0)
  features, regions = rng.normal(size=(20, 3)).astype(np.float32), rng.integers(0, 5, 20) * 7
  got = domain_rows.region_mean(features, regions)
  for region in set(regions.tolist()):
    want = np.broadcast_to(features[regions == region].mean(0), got[regions == region].shape)
    np.testing.assert_allclose(got[regions == region], want, atol=1e-6)


def test_a_cut_gives_exactly_k_domains_that_are_constant_inside_regions():
  rng = np.random.default_rng(1)
  features, regions = rng.normal(size=(200, 4)), rng.integers(0, 30, 200)
  for k in (2, 7, 29):
    domains = domain_rows.cut(features, regions, k)
    assert set(domains.tolist()) == set(range(k))
    assert all(len(set(domains[regions == region])) == 1 for region in range(30))


def test_a_cut_unites_regions_that_do_not_touch():
  features = np.repeat([[0.0], [9.0], [0.1], [9.1]], 5, axis=0)
  domains = domain_rows.cut(features, np.repeat(np.arange(4), 5), 2)
  assert domains[0] == domains[10] != domains[5] == domains[15]


def test_regions_of_one_label_each_are_homogeneous_and_cut_back_to_the_labels(cohort, regions):
  rows = _rows(cohort, regions)
  assert rows[False, "1", "homogeneity"].value == pytest.approx(1.0, abs=1e-9)
  assert rows[False, "1", "ari"].value < 0.9  # three regions a label
  assert rows[True, "1", "ari"].value == pytest.approx(1.0, abs=1e-9)


def test_a_level_as_it_stands_equals_scikit_learn_and_tells_its_number_of_regions(cohort, regions):
  leaf = cohort.spots["leaf"].to_numpy(str)
  want = [metrics.homogeneity_score(leaf[rows], regions[0][rows]) for _, rows in cohort.sections()]
  found = list(domain_rows.by_region_tree(cohort, regions, "noise", "leaf", "m", "all"))
  standing = [row for row in found if "level 1 as it stands" in row.protocol]
  value = {row.metric: row.value for row in standing}
  assert value["homogeneity"] == pytest.approx(np.mean(want), abs=1e-6)
  numbers = [len(set(regions[0][rows])) for _, rows in cohort.sections()]
  assert value["regions_per_section"] == np.mean(numbers)


def test_many_regions_are_homogeneous_by_chance_too(cohort):
  every_spot = np.arange(360)[None]
  found = list(domain_rows.by_region_tree(cohort, every_spot, "noise", "leaf", "m", "all"))
  row = next(row for row in found if row.metric == "homogeneity")
  assert row.value == row.chance == pytest.approx(1.0)


def test_fewer_regions_than_labels_are_said(cohort, regions):
  found = list(domain_rows.by_region_tree(cohort, regions[1:], "truth", "leaf", "m", "all"))
  cut = next(row for row in found if "cut" in row.protocol and row.metric == "ari")
  assert "s0 has 1 regions for 4 domains" in cut.note
  assert cut.value == 0.0


def test_unlabelled_spots_take_their_regions_with_them(cohort, regions):
  lacking = cohort.spots.assign(leaf=np.where(np.arange(360) < 30, "", cohort.spots["leaf"]))
  cohort.spots["leaf"] = lacking["leaf"]
  rows = _rows(cohort, regions)
  assert rows[False, "1", "homogeneity"].value == pytest.approx(1.0, abs=1e-9)


def test_without_labels_there_is_a_reason(cohort, regions):
  cohort.spots["leaf"] = ""
  (row,) = domain_rows.by_region_tree(cohort, regions, "truth", "leaf", "m", "all")
  assert row.value is None
  assert "two labels" in row.note
