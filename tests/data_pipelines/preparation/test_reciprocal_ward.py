"""Ward clustering in rounds: as good as one union after another, and of whole pieces."""

import numpy as np
import pytest
import scipy.sparse
from scipy.ndimage import gaussian_filter
from scipy.sparse.csgraph import connected_components
from sklearn.cluster import AgglomerativeClustering

from data_pipelines.preparation import regions
from data_pipelines.preparation.reciprocal_ward import reciprocal_ward
from data_pipelines.preparation.spot_graph import spot_graph
from tests.data_pipelines.regions import check_regions

SIDE = 40


@pytest.fixture(scope="module")
def field():
  """(values, positions, graph) of a smooth field with noise on a square grid."""
  rng = np.random.default_rng(0)
  smooth = np.stack([gaussian_filter(rng.normal(size=(SIDE, SIDE)), 3) for _ in range(8)], -1)
  values = smooth.reshape(-1, 8) / smooth.std() + rng.normal(size=(SIDE**2, 8))
  places = 100.0 * np.stack(np.divmod(np.arange(SIDE**2), SIDE), 1)
  return values, places, spot_graph(places)[0]


def explained(values, clusters):
  """Share of the variance that lies between clusters."""
  _, clusters = np.unique(clusters, return_inverse=True)
  means = np.stack([np.bincount(clusters, column) for column in values.T], 1)
  means /= np.bincount(clusters)[:, None]
  return 1 - ((values - means[clusters]) ** 2).sum() / ((values - values.mean(0)) ** 2).sum()


@pytest.mark.parametrize("number", [1, 2, 10, 100, SIDE**2 - 1, SIDE**2])
def test_as_many_clusters_come_out_as_asked_for_each_of_one_piece(field, number):
  values, _, graph = field
  clusters = reciprocal_ward(values, graph, number)
  assert set(clusters) == set(range(number))
  edges = graph.tocoo()
  inside = clusters[edges.row] == clusters[edges.col]
  within = scipy.sparse.csr_matrix(
    (edges.data[inside], (edges.row[inside], edges.col[inside])), shape=graph.shape
  )
  assert connected_components(within, directed=False)[0] == number


def test_clusters_explain_what_those_of_scikit_learn_do(field):
  values, _, graph = field
  for number in (20, 100):
    ward = AgglomerativeClustering(number, linkage="ward", connectivity=graph).fit_predict(values)
    ours = explained(values, reciprocal_ward(values, graph, number))
    assert ours >= explained(values, ward) - 0.01


def test_where_everything_touches_the_tree_is_wards():
  values = np.random.default_rng(1).normal(size=(60, 3))
  everything = scipy.sparse.csr_matrix(~np.eye(60, dtype=bool))
  for number in (2, 7, 30):
    ward = AgglomerativeClustering(number, linkage="ward").fit_predict(values)
    ours = reciprocal_ward(values, everything, number)
    assert len(set(zip(ward.tolist(), ours.tolist(), strict=True))) == number


def test_regions_of_many_spots_are_contiguous_nested_and_of_the_size_asked_for(field, monkeypatch):
  values, places, _ = field
  monkeypatch.setattr(regions, "MANY", 50)
  levels = regions.nested_regions(values.astype(np.float32), places)
  assert check_regions(levels, places) == []
  for ids, target in zip(levels, (16, 64), strict=True):
    assert 0.6 * target <= len(ids) / len(set(ids)) <= 2 * target
