import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from hibio.evaluation import clusterers
from hibio.evaluation.clusterers import CLUSTERERS

PLACES = np.zeros((150, 2))


@pytest.fixture(scope="module")
def blobs():
  rng = np.random.default_rng(0)
  truth = np.arange(150) % 3
  return (10 * np.eye(3)[truth] + rng.normal(size=(150, 3))).astype(np.float32), truth


@pytest.mark.parametrize("name", CLUSTERERS)
def test_separate_clusters_are_found(name, blobs):
  features, truth = blobs
  runs = CLUSTERERS[name].run(features, PLACES, 3, 0)
  assert runs.shape[1] == 150
  assert all(adjusted_rand_score(truth, run) == 1.0 for run in runs)


@pytest.mark.parametrize("name", CLUSTERERS)
def test_the_same_seed_gives_the_same_domains(name):
  features = np.random.default_rng(1).normal(size=(150, 4)).astype(np.float32)
  first, second = (CLUSTERERS[name].run(features, PLACES, 5, 7) for _ in range(2))
  np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", CLUSTERERS)
def test_a_collapsed_model_gives_domains_without_a_warning(name):
  assert CLUSTERERS[name].run(np.ones((150, 4), np.float32), PLACES, 3, 0).shape[1] == 150


def test_every_run_of_the_sweep_has_k_domains():
  features = np.random.default_rng(2).normal(size=(150, 4)).astype(np.float32)
  runs = clusterers.runs_with_k_domains(features, 6, 0)
  assert 1 <= len(runs) < clusterers.NUM_RESOLUTIONS
  assert all(set(run) == set(range(6)) for run in runs)


def test_without_a_hit_the_nearest_number_of_domains_is_given(blobs):
  # Three cliques and no resolution at which two of them are one.
  features, _ = blobs
  (counts,) = {len(set(run)) for run in clusterers.runs_with_k_domains(features, 2, 0)}
  assert counts == 3


def test_leiden_unites_regions_whose_spots_all_have_the_same_features(blobs):
  # 40 spots a region: as points of their own they would only know each other.
  features, truth = blobs
  runs = clusterers.runs_with_k_domains(np.repeat(features, 40, axis=0), 3, 0)
  assert all(adjusted_rand_score(np.repeat(truth, 40), run) == 1.0 for run in runs)


def test_a_higher_resolution_gives_more_communities():
  graph = clusterers.neighbour_graph(np.random.default_rng(3).normal(size=(200, 3)))
  assert (graph != graph.T).nnz == 0
  few, many = (clusterers.communities(graph, value, 0).max() + 1 for value in (0.2, 2.0))
  assert few < many
