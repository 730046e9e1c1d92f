"""Regions by Leiden communities keep the promises that regions by Ward clustering keep."""

import builtins
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

from data_pipelines.preparation import leiden_regions, regions
from data_pipelines.preparation.regions import METHODS, method
from data_pipelines.preparation.spot_graph import MIN_SPOTS, spot_graph
from data_pipelines.problems import BadInputError
from tests.data_pipelines.hand_made import lattice
from tests.data_pipelines.preparation.test_regions import features_of, pieces
from tests.data_pipelines.regions import check_regions

drawn = leiden_regions.leiden_regions


def two_halves(noise=0.3):
  """A lattice whose left and right differ; features, positions and the half of each spot."""
  positions = lattice(20, 20)
  truth = (positions[:, 0] > 1130).astype(int)
  rng = np.random.default_rng(0)
  features = np.eye(2)[truth].repeat(3, 1) + noise * rng.normal(size=(400, 6))
  return features.astype(np.float32), positions, truth


def scattered(seed):
  """Spots at random places: clumps, gaps, spots at one place, a few far away from all others."""
  rng = np.random.default_rng(seed)
  spots = rng.integers(1, 250)
  positions = rng.uniform(0, 100 * np.sqrt(spots), (spots, 2))
  again = rng.integers(0, spots, spots // 5)
  far = rng.uniform(-9e4, 9e4, (rng.integers(0, 4), 2))
  return np.concatenate([positions, positions[again], far])


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("seed", range(12))
def test_every_method_draws_contiguous_nested_regions_on_scattered_spots(name, seed):
  positions = scattered(seed)
  made = METHODS[name](features_of(positions, seed), positions, (5, 16, 64))
  assert check_regions(made, positions) == []
  assert made.shape == (3, len(positions))
  for ids in made:
    assert set(ids) == set(range(ids.max() + 1))


@pytest.mark.parametrize("seed", range(3))
def test_regions_are_contiguous_and_nested_on_torn_tissue(seed):
  positions = pieces(seed)
  made = drawn(features_of(positions, seed), positions, (8, 16, 64))
  assert check_regions(made, positions) == []


@pytest.mark.parametrize(
  "positions",
  [np.zeros((1, 2)), np.zeros((5, 2)), np.array([[0.0, 0], [1e4, 0], [0, 1e4]]), lattice(1, 2)],
  ids=["one spot", "one place", "three islands", "two spots"],
)
def test_tissue_with_next_to_nothing_to_join_is_drawn_all_the_same(positions):
  made = drawn(np.ones((len(positions), 2), np.float32), positions)
  assert check_regions(made, positions) == []
  assert made.shape == (2, len(positions))


@pytest.mark.parametrize("noise", [0.0, 1.0, 30.0])
def test_regions_have_about_the_size_asked_for_and_none_is_tiny(noise):
  positions = lattice(30, 30)
  made = drawn(features_of(positions, noise=noise), positions, (16, 64))
  for ids, target in zip(made, (16, 64), strict=True):
    sizes = np.bincount(ids)
    assert 0.75 * target <= sizes.mean() <= 1.34 * target
    assert min(sizes) >= MIN_SPOTS


def test_regions_follow_the_features_and_not_only_the_positions():
  features, positions, truth = two_halves()

  def purity(ids):
    return sum(np.bincount(truth[ids == i]).max() for i in set(ids)) / len(ids)

  blind = drawn(np.ones((400, 2), np.float32), positions)
  assert purity(drawn(features, positions)[0]) > 0.98 > purity(blind[0])


def test_halves_that_differ_are_found_where_two_regions_are_asked_for():
  features, positions, truth = two_halves(noise=0.1)
  assert adjusted_rand_score(truth, drawn(features, positions, (200,))[0]) > 0.95


def test_a_spots_pull_on_its_neighbour_falls_with_distance_and_with_angle():
  graph, spacing = spot_graph(np.array([[0.0, 0], [100, 0], [100, 140]]))
  directions = np.array([[1.0, 0], [0.6, 0.8], [0.6, 0.8]])
  weights = leiden_regions._weights(
    graph, directions, np.array([[0.0, 0], [100, 0], [100, 140]]), spacing
  ).toarray()
  want = np.zeros((3, 3))
  want[0, 1] = want[1, 0] = np.exp(-0.5) * np.exp((0.6 - 1) / 0.2)
  want[1, 2] = want[2, 1] = np.exp(-(1.4**2) / 2)
  np.testing.assert_allclose(weights, want, rtol=1e-12)


def test_the_same_input_gives_the_same_regions_and_scale_does_not_matter():
  positions = pieces(5)
  features = features_of(positions)
  first = drawn(features, positions)
  np.testing.assert_array_equal(first, drawn(features, positions))
  assert adjusted_rand_score(first[0], drawn(features * 50, positions)[0]) > 0.99  # rounding


def test_refreshing_draws_with_the_method_it_is_given():
  features, positions, _ = two_halves()
  spots = pd.DataFrame({"section_id": "A", "x_um": positions[:, 0], "y_um": positions[:, 1]})
  new = regions.refreshed(
    np.zeros((2, 400), np.int32), spots, np.arange(400), features, (400.0, 800.0), method("leiden")
  )
  np.testing.assert_array_equal(new, drawn(features, positions))
  assert not np.array_equal(new, regions.nested_regions(features, positions))


def test_an_unknown_method_is_refused_by_name():
  with pytest.raises(BadInputError, match=r"region_method: found louvain, expected one of aggl"):
    method("louvain")


def test_a_missing_package_is_one_clear_sentence_before_any_work(monkeypatch):
  monkeypatch.delitem(sys.modules, "graspologic_native", raising=False)
  whole = builtins.__import__

  def lacking(name, *rest):
    if name == "graspologic_native":
      raise ImportError("No module named 'graspologic_native'")
    return whole(name, *rest)

  monkeypatch.setattr(builtins, "__import__", lacking)
  with pytest.raises(BadInputError, match="pip install graspologic-native, or set"):
    method("leiden")
  assert method("agglomeration") is regions.nested_regions
