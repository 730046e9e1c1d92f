"""Regions are contiguous, nested, of the size asked for, and follow what they are made from."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.decomposition import PCA

from data_pipelines.preparation import regions
from data_pipelines.preparation.spot_graph import MIN_SPOTS
from data_pipelines.preparation.statistics import log_expression
from tests.data_pipelines.hand_made import lattice, section
from tests.data_pipelines.regions import check_regions


def features_of(positions, seed=0, width=6, noise=1.0):
  rng = np.random.default_rng(seed)
  own = rng.normal(size=(3, width)) * 3
  return (own[(positions[:, 0] // 700).astype(int) % 3] + noise * rng.normal(
    size=(len(positions), width))).astype(np.float32)  # fmt: skip


def pieces(seed):
  """Two pieces of tissue, a gap between them, holes and a few stray spots."""
  rng = np.random.default_rng(seed)
  one = lattice(14, 15)
  one = one[rng.random(len(one)) > 0.15]
  return np.concatenate([one, lattice(6, 6) + [3000, 200], [[9000, 0], [9100, 0], [0, 9000]]])


@pytest.mark.parametrize("seed", range(4))
def test_regions_are_contiguous_and_nested_on_torn_tissue(seed):
  positions = pieces(seed)
  made = regions.nested_regions(features_of(positions, seed), positions, (8, 16, 64))
  assert check_regions(made, positions) == []
  assert made.shape == (3, len(positions))
  for ids in made:
    assert set(ids) == set(range(ids.max() + 1))


def test_the_check_finds_a_torn_region_and_a_broken_nesting():
  positions = lattice(10, 10)
  made = regions.nested_regions(features_of(positions), positions, (16, 64))
  torn = made.copy()
  torn[0, [0, 99]] = 777
  assert "pieces" in check_regions(torn, positions)[0]
  crossed = np.stack([np.zeros(100, np.int32), (positions[:, 0] > 500).astype(np.int32)])
  assert "several regions of level 1" in check_regions(crossed, positions)[-1]


def test_regions_have_about_the_size_asked_for_and_none_is_tiny():
  positions = lattice(30, 30)
  made = regions.nested_regions(features_of(positions), positions, (16, 64))
  fine, coarse = (np.bincount(ids) for ids in made)
  assert 0.6 * 900 / 16 <= len(fine) <= 900 / 16 + 1
  assert 0.6 * 900 / 64 <= len(coarse) <= 900 / 64 + 1
  assert min(fine) >= MIN_SPOTS


def test_only_islands_are_smaller_than_the_least_size():
  positions = np.concatenate([lattice(8, 8), [[9000.0, 0.0], [9100.0, 0.0]]])
  made = regions.nested_regions(np.ones((66, 3), np.float32), positions)
  sizes = np.bincount(made[0])
  assert sorted(sizes)[0] == 2
  assert sorted(sizes)[1] >= MIN_SPOTS
  assert made[0, -1] == made[0, -2]


def test_regions_follow_the_features_and_not_only_the_positions():
  positions = lattice(20, 20)
  truth = (positions[:, 0] > 1130).astype(int)
  rng = np.random.default_rng(0)
  features = np.eye(2)[truth].repeat(3, 1) + 0.3 * rng.normal(size=(400, 6))
  made = regions.nested_regions(features.astype(np.float32), positions, (16, 64))[0]

  def purity(ids):
    return sum(np.bincount(truth[ids == i]).max() for i in set(ids)) / len(ids)

  blind = regions.nested_regions(np.ones((400, 2), np.float32), positions, (16, 64))[0]
  assert purity(made) > 0.98 > purity(blind)


def test_the_same_input_gives_the_same_regions_and_scale_does_not_matter():
  positions = pieces(5)
  features = features_of(positions)
  first = regions.nested_regions(features, positions)
  np.testing.assert_array_equal(first, regions.nested_regions(features * 50, positions))


def test_expression_features_find_the_two_halves():
  one = section("S", "d", rows=14, columns=14)
  features = regions.expression_features(log_expression(one.counts))
  left = one.labels["side"] == "left"
  gap = features[left, 0].mean() - features[~left, 0].mean()
  assert abs(gap) > 3 * features[left, 0].std()


def test_expression_features_stand_a_section_without_variation():
  logs = log_expression(scipy.sparse.csr_matrix(np.ones((5, 3), np.int32)))
  assert np.isfinite(regions.expression_features(logs)).all()
  made = regions.nested_regions(regions.expression_features(logs), lattice(1, 5))
  assert made.shape == (2, 5)


def test_refreshing_redraws_known_sections_keeps_the_others_and_makes_ids_unique():
  positions = lattice(10, 10)
  spots = pd.DataFrame(
    {
      "section_id": np.repeat(["A", "B", "C"], 100),
      "x_um": np.tile(positions[:, 0], 3),
      "y_um": np.tile(positions[:, 1], 3),
    }
  )
  old = regions.stacked(
    [regions.nested_regions(features_of(positions, seed), positions) for seed in (1, 2, 3)]
  )
  index = np.r_[0:100, 200:250]  # all of A, none of B, half of C
  features = features_of(np.tile(positions, (3, 1)), seed=9)[index]
  new = regions.refreshed(old, spots, index, features, (400.0, 800.0))
  np.testing.assert_array_equal(
    new[:, :100], regions.nested_regions(features[:100], positions, (16, 64))
  )
  assert not np.array_equal(new[:, :100], old[:, :100])
  for level in range(2):
    parts = [set(new[level, s : s + 100]) for s in (0, 100, 200)]
    assert len(set.union(*parts)) == sum(map(len, parts))
    for start in (100, 200):
      same_before = old[level, start : start + 100, None] == old[level, None, start : start + 100]
      same_after = new[level, start : start + 100, None] == new[level, None, start : start + 100]
      np.testing.assert_array_equal(same_before, same_after)


@pytest.mark.parametrize(
  ("pitch", "spots"), [(100.0, (16, 64)), (200.0, (4, 16)), (8.0, (2500, 10000)), (900.0, (4, 4))]
)
def test_a_side_is_the_same_on_every_array_whatever_its_spots(pitch, spots):
  positions = lattice(6, 6) * pitch / 100
  assert regions.spots_of_side((400.0, 800.0), positions) == spots


def test_components_of_many_spots_are_those_of_their_dense_matrix(monkeypatch):
  logs = log_expression(section("A1", "A").counts)
  monkeypatch.setattr(regions, "MANY", 1)
  found = regions.expression_features(logs)
  dense = logs.toarray()
  z = (dense - dense.mean(axis=0)) / np.maximum(dense.std(axis=0), regions.MIN_LOG_STD)
  exact = PCA(regions.PCA_COMPONENTS, svd_solver="full").fit_transform(z)
  np.testing.assert_allclose(np.abs(found), np.abs(exact), atol=1e-4)  # signs are free
